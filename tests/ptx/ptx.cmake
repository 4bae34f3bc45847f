# SPDX-License-Identifier: MIT
# The PTX machine: stand-ins for libcuda and libcublas that execute the PTX which nvcc emits, on the CPU, and their
# tests.  They need nvcc and the CUDA headers, but no GPU and no driver.
set(ptx_folder ${CMAKE_CURRENT_LIST_DIR})
set(ptx_library_folder ${PROJECT_BINARY_DIR}/tests/ptx/lib)

get_filename_component(ptx_nvcc_hint "$ENV{CUDACXX}" DIRECTORY)
find_program(HSTU_NVCC nvcc HINTS ${ptx_nvcc_hint} ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(HSTU_NVCC)
  get_filename_component(ptx_nvcc_folder ${HSTU_NVCC} DIRECTORY)
  get_filename_component(ptx_cuda_root ${ptx_nvcc_folder} DIRECTORY)
endif()
find_path(HSTU_CUDA_INCLUDE cuda.h HINTS ${ptx_cuda_root}/include ENV CUDA_HOME ENV CUDA_PATH
          PATHS /usr/local/cuda/include PATH_SUFFIXES include)

if(NOT HSTU_NVCC OR NOT HSTU_CUDA_INCLUDE)
  set(ptx_missing nvcc)
  if(HSTU_NVCC)
    set(ptx_missing cuda.h)
  endif()
  message(STATUS "hstu: no ${ptx_missing} found, so the PTX machine and its tests are skipped")
  return()
endif()

# ptx_stand_in(name version SOURCES ...): lib<name>.so.<version> in the folder of the stand-ins.
function(ptx_stand_in target output version)
  add_library(${target} SHARED ${ARGN})
  target_link_libraries(${target} PRIVATE hstu_own_flags)
  target_include_directories(${target} SYSTEM PRIVATE ${HSTU_CUDA_INCLUDE})
  # Rounding is part of what is emulated: nothing may be fused or reordered.
  target_compile_options(${target} PRIVATE -ffp-contract=off -fno-math-errno -fno-trapping-math -Wno-psabi
                                           $<$<NOT:$<CONFIG:Debug>>:-O3>)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${output} SOVERSION ${version} LIBRARY_OUTPUT_DIRECTORY ${ptx_library_folder}
    CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON BUILD_RPATH "$ORIGIN")
endfunction()

file(GLOB ptx_machine_sources CONFIGURE_DEPENDS ${ptx_folder}/machine/*.cpp ${ptx_folder}/driver/*.cpp)
list(REMOVE_ITEM ptx_machine_sources ${ptx_folder}/driver/cublas.cpp)
# What runs once per module or call needs no -O3, and compiles faster.
file(GLOB ptx_cold_sources ${ptx_folder}/driver/*.cpp ${ptx_folder}/machine/pars*.cpp ${ptx_folder}/machine/lexer.cpp
     ${ptx_folder}/machine/decoder.cpp ${ptx_folder}/machine/translate.cpp ${ptx_folder}/machine/flow.cpp
     ${ptx_folder}/machine/builtin.cpp)
list(REMOVE_ITEM ptx_cold_sources ${ptx_folder}/driver/cublas.cpp)
set_source_files_properties(${ptx_cold_sources} PROPERTIES COMPILE_OPTIONS $<$<NOT:$<CONFIG:Debug>>:-O1>)
ptx_stand_in(hstu_ptx_cuda cuda 1 ${ptx_machine_sources})
target_link_libraries(hstu_ptx_cuda PRIVATE ${CMAKE_DL_LIBS})

if(EXISTS ${HSTU_CUDA_INCLUDE}/cublas_v2.h)
  ptx_stand_in(hstu_ptx_cublas cublas 13 ${ptx_folder}/driver/cublas.cpp)
  target_link_libraries(hstu_ptx_cublas PRIVATE hstu_ptx_cuda)
  add_custom_command(TARGET hstu_ptx_cublas POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
                     libcublas.so.13 ${ptx_library_folder}/libcublas.so.12)
endif()

# ---- kernels of the tests: fat binaries with the PTX of nvcc's older and newer code generator -----------------------
set(ptx_kernel_folder ${PROJECT_BINARY_DIR}/tests/ptx/kernels)
file(MAKE_DIRECTORY ${ptx_kernel_folder})
file(GLOB ptx_kernel_files CONFIGURE_DEPENDS ${ptx_folder}/kernels/*.cu ${ptx_folder}/wrong/*.cu)
set(ptx_kernel_binaries "")
foreach(file IN LISTS ptx_kernel_files)
  get_filename_component(stem ${file} NAME_WE)
  set(binary ${ptx_kernel_folder}/${stem}.fatbin)
  add_custom_command(OUTPUT ${binary} DEPENDS ${file} ${ptx_folder}/wrong/pair.cuh VERBATIM
    COMMAND ${HSTU_NVCC} -std=c++17 -O3 -lineinfo -fatbin --no-compress -gencode=arch=compute_80,code=compute_80
            -gencode=arch=compute_100,code=compute_100 -o ${binary} ${file}
    COMMENT "Compiling tests/ptx/${stem}.cu")
  list(APPEND ptx_kernel_binaries ${binary})
endforeach()
foreach(mode size speed)  # zstd, nvcc's default, and LZ4
  set(binary ${ptx_kernel_folder}/compressed_${mode}.fatbin)
  add_custom_command(OUTPUT ${binary} DEPENDS ${ptx_folder}/wrong/blocks.cu ${ptx_folder}/wrong/pair.cuh VERBATIM
    COMMAND ${HSTU_NVCC} -std=c++17 -O3 -fatbin --compress-mode=${mode} -gencode=arch=compute_80,code=compute_80
            -o ${binary} ${ptx_folder}/wrong/blocks.cu
    COMMENT "Compiling tests/ptx/wrong/blocks.cu, compressed for ${mode}")
  list(APPEND ptx_kernel_binaries ${binary})
endforeach()
add_custom_target(hstu_ptx_kernels DEPENDS ${ptx_kernel_binaries})

# ---- tests ----------------------------------------------------------------------------------------------------------
set(ptx_tests ${files_of_ptx})
if(NOT TARGET hstu_ptx_cublas)
  list(FILTER ptx_tests EXCLUDE REGEX "cublas")
endif()
hstu_test_program(hstu_ptx_tests ${ptx_tests} ${ptx_folder}/machine/types.cpp)
add_dependencies(hstu_ptx_tests hstu_ptx_kernels)
target_link_libraries(hstu_ptx_tests PRIVATE hstu_ptx_cuda)
if(TARGET hstu_ptx_cublas)
  target_link_libraries(hstu_ptx_tests PRIVATE hstu_ptx_cublas)
endif()
target_include_directories(hstu_ptx_tests PRIVATE ${ptx_folder})
target_include_directories(hstu_ptx_tests SYSTEM PRIVATE ${HSTU_CUDA_INCLUDE})
target_compile_options(hstu_ptx_tests PRIVATE -ffp-contract=off -frounding-math)
target_compile_definitions(hstu_ptx_tests PRIVATE HSTU_PTX_KERNELS="${ptx_kernel_folder}")
foreach(architecture 80 100)
  add_test(NAME ptx.${architecture} COMMAND hstu_ptx_tests --order rand --rng-seed 20261124 --warn NoAssertions
           --reporter console --reporter xml::out=${report_folder}/ptx_${architecture}.xml)
  set_tests_properties(ptx.${architecture} PROPERTIES TIMEOUT 600 LABELS unit RESOURCE_LOCK ptx_reports
                       ENVIRONMENT "PTX_ARCH=${architecture}")
endforeach()

# The counters of launches as a table.
hstu_program(hstu_kernel_report SOURCES ${ptx_folder}/kernel_report.cpp)
target_compile_options(hstu_kernel_report PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)

# A program that was linked with the toolkit's stub of the driver.
find_library(HSTU_CUDA_STUB cuda PATHS ${ptx_cuda_root}/lib64/stubs ${ptx_cuda_root}/lib/stubs NO_DEFAULT_PATH)
if(HSTU_CUDA_STUB)
  add_executable(hstu_ptx_host_program ${ptx_folder}/host_program.cpp)
  target_link_libraries(hstu_ptx_host_program PRIVATE ${HSTU_CUDA_STUB} hstu_own_flags)
  target_include_directories(hstu_ptx_host_program SYSTEM PRIVATE ${HSTU_CUDA_INCLUDE})
  target_compile_features(hstu_ptx_host_program PRIVATE cxx_std_20)
  set_target_properties(hstu_ptx_host_program PROPERTIES SKIP_BUILD_RPATH ON
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  add_dependencies(hstu_ptx_host_program hstu_ptx_cuda hstu_ptx_kernels)
  foreach(architecture 80 100)
    add_test(NAME ptx.host_program_${architecture} COMMAND hstu_ptx_host_program ${ptx_kernel_folder}/math.fatbin)
    set_tests_properties(ptx.host_program_${architecture} PROPERTIES TIMEOUT 60 LABELS unit
      ENVIRONMENT "PTX_ARCH=${architecture};LD_LIBRARY_PATH=${ptx_library_folder}")
  endforeach()
  add_test(NAME ptx.kernel_report COMMAND sh -c
    "rm -f report.jsonl && PTX_REPORT=report.jsonl $<TARGET_FILE:hstu_ptx_host_program> math.fatbin && \
$<TARGET_FILE:hstu_kernel_report> report.jsonl && $<TARGET_FILE:hstu_kernel_report> report.jsonl --json && \
echo '{\"kernel\": \"functions_f32\", \"bytes\": 64000, \"flops\": 0}' > needs.jsonl && \
$<TARGET_FILE:hstu_kernel_report> report.jsonl --needs needs.jsonl && echo '{\"kernel\": \"other\"}' > needs.jsonl && \
! $<TARGET_FILE:hstu_kernel_report> report.jsonl --needs needs.jsonl && \
echo broken > broken.jsonl && ! $<TARGET_FILE:hstu_kernel_report> broken.jsonl")
  set_tests_properties(ptx.kernel_report PROPERTIES TIMEOUT 60 LABELS unit WORKING_DIRECTORY ${ptx_kernel_folder}
    ENVIRONMENT "LD_LIBRARY_PATH=${ptx_library_folder}"
    PASS_REGULAR_EXPRESSION
      "functions_f32 +1 .*\"global_sectors_ratio\": 1.0.*needed kB.* 64.0 .*lacks launches that needs.jsonl names.*broken.jsonl:1: no report of a launch")
endif()
