# SPDX-License-Identifier: MIT
# The kernels (tests/cuda) and training with them (tests/device), on the GPU or on the stand-in for its driver
# (tests/ptx).  Without either the entries say "skipped".
set(cuda_libraries "LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/tests/ptx/lib:$ENV{LD_LIBRARY_PATH}")
foreach(area cuda device)
  set(name hstu_${area}_tests)
  hstu_test_program(${name} ${files_of_${area}})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)  # compiles in half the time
  target_link_libraries(${name} PRIVATE hstu::cuda)
  foreach(stand_in hstu_ptx_cuda hstu_ptx_cublas)
    if(TARGET ${stand_in})
      add_dependencies(${name} ${stand_in})
    endif()
  endforeach()
  foreach(architecture 80 100)  # PTX of nvcc's older and newer code generator
    add_test(NAME ${area}.ptx_${architecture} COMMAND ${name} --order rand --rng-seed 20261124 --reporter console
             --reporter xml::out=${report_folder}/${area}_${architecture}.xml)
    set_tests_properties(${area}.ptx_${architecture} PROPERTIES TIMEOUT 600 LABELS cuda SKIP_RETURN_CODE 4
      ENVIRONMENT "PTX_ARCH=${architecture};${cuda_libraries}")
  endforeach()
endforeach()

# The program hstu trains on the device too.
hstu_test_runs_cli(hstu_device_tests)

# Registers, spills and, where the disassembler is installed, tensor-core instructions of every kernel.
add_test(NAME cuda.kernel_table COMMAND python3 ${PROJECT_SOURCE_DIR}/scripts/kernel_table.py ${PROJECT_BINARY_DIR})
set_tests_properties(cuda.kernel_table PROPERTIES TIMEOUT 120 LABELS cuda)

# The program that times kernels, run once with small sizes: what the kernels do beside what they need.
hstu_program(bench_gpu_kernels SOURCES ${PROJECT_SOURCE_DIR}/bench/gpu_kernels.cpp)
target_link_libraries(bench_gpu_kernels PRIVATE hstu::cuda)
if(TARGET hstu_ptx_cuda)
  add_dependencies(bench_gpu_kernels hstu_ptx_cuda)
  add_test(NAME cuda.kernel_work COMMAND python3 ${PROJECT_SOURCE_DIR}/scripts/kernel_work.py ${PROJECT_BINARY_DIR})
  set_tests_properties(cuda.kernel_work PROPERTIES TIMEOUT 300 LABELS cuda)
endif()

# A user's project that finds the installed library with its kernels.
if(HSTU_INSTALL)
  set(cuda_package ${PROJECT_BINARY_DIR}/package/find_cuda)
  add_test(NAME cuda.install COMMAND sh -c "rm -rf '${cuda_package}_prefix' && for part in library cuda; do \
'${CMAKE_COMMAND}' --install '${PROJECT_BINARY_DIR}' --prefix '${cuda_package}_prefix' --component $part || exit 1
done")
  add_test(NAME cuda.find_package COMMAND ${CMAKE_CTEST_COMMAND}
    --build-and-test ${PROJECT_SOURCE_DIR}/tests/package/find_cuda ${cuda_package} --build-generator ${CMAKE_GENERATOR}
    --build-options -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DCMAKE_BUILD_TYPE=Debug
                    -DCMAKE_PREFIX_PATH=${cuda_package}_prefix
    --test-command ${cuda_package}/user)
  set_tests_properties(cuda.install PROPERTIES FIXTURES_SETUP hstu_cuda_prefix)
  set_tests_properties(cuda.find_package PROPERTIES FIXTURES_REQUIRED hstu_cuda_prefix)
  set_tests_properties(cuda.install cuda.find_package PROPERTIES TIMEOUT 600 LABELS cuda)
endif()
