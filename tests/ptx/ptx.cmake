# SPDX-License-Identifier: MIT
# The PTX machine: stand-ins for libcuda and libcublas that execute the PTX which nvcc emits, on the CPU.  They need the
# CUDA headers; the tests that compile kernels need nvcc as well.  Nothing here needs a GPU or a driver.
set(ptx_folder ${CMAKE_CURRENT_LIST_DIR})
set(ptx_library_folder ${PROJECT_BINARY_DIR}/tests/ptx/lib)

find_program(HSTU_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(HSTU_NVCC)
  get_filename_component(ptx_nvcc_folder ${HSTU_NVCC} DIRECTORY)
  get_filename_component(ptx_cuda_root ${ptx_nvcc_folder} DIRECTORY)
endif()
find_path(HSTU_CUDA_INCLUDE cuda.h HINTS ${ptx_cuda_root}/include ENV CUDA_HOME ENV CUDA_PATH
          PATHS /usr/local/cuda/include PATH_SUFFIXES include)

if(NOT HSTU_NVCC OR NOT HSTU_CUDA_INCLUDE)
  message(STATUS "hstu: no nvcc or no cuda.h found: the CUDA kernels are not built, and their tests are skipped")
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
ptx_stand_in(hstu_ptx_cuda cuda 1 ${ptx_machine_sources})
target_link_libraries(hstu_ptx_cuda PRIVATE ${CMAKE_DL_LIBS})

if(EXISTS ${HSTU_CUDA_INCLUDE}/cublas_v2.h)
  ptx_stand_in(hstu_ptx_cublas cublas 13 ${ptx_folder}/driver/cublas.cpp)
  target_link_libraries(hstu_ptx_cublas PRIVATE hstu_ptx_cuda)
  add_custom_command(TARGET hstu_ptx_cublas POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
                     libcublas.so.13 ${ptx_library_folder}/libcublas.so.12)
endif()
