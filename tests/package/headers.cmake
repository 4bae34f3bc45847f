# SPDX-License-Identifier: MIT
# package.every_header_alone: each header, included twice by a unit of its own, with a user's flags.  clang reads them
# where it is installed: the headers see a second compiler, which takes three quarters of the time of GCC.  Only what
# changed is read again.
find_program(header_compiler NAMES clang++)
if(NOT header_compiler)
  set(header_compiler ${CMAKE_CXX_COMPILER})
endif()
set(header_flags -std=c++20 -fsyntax-only -Wall -Wextra -Wshadow -Wconversion ${library_includes})
if(HSTU_WERROR)
  list(APPEND header_flags -Werror)
endif()

file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/include/*.hpp)
set(header_stamps "")
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} unit)
  set(unit ${package_build}/headers/${unit})
  file(CONFIGURE OUTPUT ${unit}.cpp CONTENT "#include <${header}>\n#include <${header}>\n")
  add_custom_command(OUTPUT ${unit}.ok
    COMMAND ${header_compiler} ${header_flags} -MD -MF ${unit}.d -MT ${unit}.ok ${unit}.cpp
    COMMAND ${CMAKE_COMMAND} -E touch ${unit}.ok
    DEPENDS ${unit}.cpp DEPFILE ${unit}.d COMMENT "Reading ${header} alone" VERBATIM)
  list(APPEND header_stamps ${unit}.ok)
endforeach()
add_custom_target(hstu_headers DEPENDS ${header_stamps})
add_test(NAME package.every_header_alone COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target hstu_headers -j 2)
set_tests_properties(package.every_header_alone PROPERTIES PROCESSORS 2)
