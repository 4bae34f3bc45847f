# SPDX-License-Identifier: MIT
# How our own programs are compiled.  Users of the library get none of these flags.
find_program(ccache_program ccache)
if(ccache_program AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache_program})
endif()

add_library(hstu_warnings INTERFACE)
target_link_libraries(hstu_warnings INTERFACE hstu::hstu)
target_compile_options(hstu_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion)
if(HSTU_WERROR)
  target_compile_options(hstu_warnings INTERFACE -Werror)
endif()

add_library(hstu_own_flags INTERFACE)
target_link_libraries(hstu_own_flags INTERFACE hstu_warnings)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND (HSTU_NATIVE OR HSTU_SANITIZE))
  # GCC 12 reports its own AVX-512 header (avx512fintrin.h: __m512d __Y = __Y), and more when a sanitizer splits the code.
  target_compile_options(hstu_own_flags INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND HSTU_SANITIZE MATCHES "thread")
  # Eigen's queue of tasks has fences.  ThreadSanitizer takes them for nothing: it might report too much, not too little.
  target_compile_options(hstu_own_flags INTERFACE -Wno-tsan)
endif()
if(HSTU_NATIVE)
  target_compile_options(hstu_own_flags INTERFACE -march=native)
endif()
if(HSTU_SANITIZE)
  target_compile_options(hstu_own_flags INTERFACE -fsanitize=${HSTU_SANITIZE} -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer -g1)
  target_link_options(hstu_own_flags INTERFACE -fsanitize=${HSTU_SANITIZE})
endif()

# hstu_program(name [FAST|TEST] SOURCES ...): assertions stay on.  What people run for its speed is FAST and compiled
# with -O3, the rest with -O2, which takes a sixth less time to compile; tests with -O1, a quarter less again.
function(hstu_program name)
  cmake_parse_arguments(arg "FAST;TEST" "" "SOURCES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE hstu_own_flags)
  if(HSTU_SANITIZE)
    set(level -O1)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
    set(level -O0)
  elseif(arg_TEST)
    set(level -O1)
  elseif(arg_FAST)
    set(level -O3)
  else()
    set(level -O2)
  endif()
  target_compile_options(${name} PRIVATE -UNDEBUG ${level})
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()
