# SPDX-License-Identifier: MIT
# The kernels, on the GPU or on the CPU's stand-in for its driver (tests/ptx).  Without either the entries say "skipped".
hstu_test_program(hstu_cuda_tests ${files_of_cuda})
target_link_libraries(hstu_cuda_tests PRIVATE hstu::cuda)
foreach(architecture 80 100)  # PTX of nvcc's older and newer code generator
  add_test(NAME cuda.ptx_${architecture} COMMAND hstu_cuda_tests --order rand --rng-seed 20261124 --reporter console
           --reporter xml::out=${report_folder}/cuda_${architecture}.xml)
  set_tests_properties(cuda.ptx_${architecture} PROPERTIES TIMEOUT 600 LABELS cuda SKIP_RETURN_CODE 4
    ENVIRONMENT "PTX_ARCH=${architecture};LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/tests/ptx/lib:$ENV{LD_LIBRARY_PATH}")
endforeach()
