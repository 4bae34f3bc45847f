# SPDX-License-Identifier: MIT
# hstu::cuda: the kernels of kernels/*.cu as fat binaries inside a static library.  Needs nvcc; using it needs neither
# nvcc nor the CUDA toolkit, and a program linked to it starts on machines without a driver.
# Two PTX texts, of nvcc's older and newer code generator; the cubins of all architectures are made from these two.
set(HSTU_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING "GPU architectures to compile kernels for")
find_program(HSTU_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT HSTU_NVCC)
  message(STATUS "hstu: no nvcc found, so the CUDA kernels and their tests are skipped")
  return()
endif()

set(old_codes compute_80)
set(new_codes compute_100)
foreach(architecture IN LISTS HSTU_CUDA_ARCHITECTURES)
  if(architecture LESS 100)
    list(APPEND old_codes sm_${architecture})
  else()
    list(APPEND new_codes sm_${architecture})
  endif()
endforeach()
list(JOIN old_codes "," old_codes)
list(JOIN new_codes "," new_codes)
set(kernel_flags -std=c++20 -O3 --fatbin --no-compress -Xptxas -v -I${PROJECT_SOURCE_DIR}/include
    "-gencode=arch=compute_80,code=[${old_codes}]" "-gencode=arch=compute_100,code=[${new_codes}]")

set(kernel_folder ${PROJECT_BINARY_DIR}/kernels)
file(MAKE_DIRECTORY ${kernel_folder})
file(GLOB kernel_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu)
set(kernel_binaries "")
set(image_bytes "")
set(image_names "")
set(image_entries "")
foreach(file IN LISTS kernel_files)
  get_filename_component(stem ${file} NAME_WE)
  set(binary ${kernel_folder}/${stem}.fatbin)
  # The log holds what ptxas says about registers and spills.
  add_custom_command(OUTPUT ${binary} DEPENDS ${file} DEPFILE ${binary}.d VERBATIM
    COMMAND sh -c "\"$@\" > '${kernel_folder}/${stem}.log' 2>&1 || { cat '${kernel_folder}/${stem}.log'; exit 1; }" sh
            ${HSTU_NVCC} ${kernel_flags} -MD -MF ${binary}.d -MT ${binary} -o ${binary} ${file}
    COMMENT "Compiling kernels/${stem}.cu")
  list(APPEND kernel_binaries ${binary})
  string(APPEND image_bytes "\".balign 16\\n.globl hstu_kernel_${stem}\\nhstu_kernel_${stem}:\\n.incbin \\\"${binary}\\\"\\n\"\n")
  string(APPEND image_names "extern \"C\" const char hstu_kernel_${stem}[];\n")
  string(APPEND image_entries "    {\"${stem}\", hstu_kernel_${stem}},\n")
endforeach()
file(CONFIGURE OUTPUT ${kernel_folder}/kernel_images.cpp @ONLY CONTENT
"// Written by cmake/kernels.cmake.
#include <hstu/cuda/kernel_images.hpp>
asm(\".pushsection .rodata\\n\"
@image_bytes@\".popsection\\n\");
@image_names@
std::span<const hstu::cuda::KernelImage> hstu::cuda::kernel_images() {
  static const KernelImage images[] = {
@image_entries@  };
  return images;
}
")
add_library(hstu_cuda STATIC ${kernel_folder}/kernel_images.cpp)
add_library(hstu::cuda ALIAS hstu_cuda)
set_target_properties(hstu_cuda PROPERTIES EXPORT_NAME cuda)
set_source_files_properties(${kernel_folder}/kernel_images.cpp PROPERTIES OBJECT_DEPENDS "${kernel_binaries}")
target_link_libraries(hstu_cuda PUBLIC hstu::hstu ${CMAKE_DL_LIBS})
