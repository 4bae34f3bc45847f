# SPDX-License-Identifier: MIT
# tests/<area>/*.test.cpp become the program hstu_<area>_tests, and that one ctest entry.
set(report_folder ${PROJECT_BINARY_DIR}/reports)
file(MAKE_DIRECTORY ${report_folder})

# The files of an area are compiled as one unit: most of the time goes into what they include in common.
function(hstu_test_program name)
  hstu_program(${name} TEST SOURCES ${ARGN})
  target_link_libraries(${name} PRIVATE Catch2::Catch2WithMain)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
endfunction()

# The program hstu is linked before the test that runs it; both compile at the same time.
function(hstu_test_runs_cli name)
  if(TARGET hstu_cli)
    set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${PROJECT_BINARY_DIR}/bin/hstu)
    target_compile_definitions(${name} PRIVATE HSTU_CLI_PATH="$<TARGET_FILE:hstu_cli>")
  endif()
endfunction()

file(GLOB test_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*/*.test.cpp)
set(areas "")
foreach(file IN LISTS test_files)
  get_filename_component(folder ${file} DIRECTORY)
  get_filename_component(area ${folder} NAME)
  list(APPEND areas ${area})
  list(APPEND files_of_${area} ${file})
endforeach()
list(REMOVE_DUPLICATES areas)
include(${CMAKE_CURRENT_LIST_DIR}/ptx/ptx.cmake)
if(TARGET hstu_cuda)
  include(${CMAKE_CURRENT_LIST_DIR}/cuda/cuda.cmake)
endif()
list(REMOVE_ITEM areas cuda device ptx)  # have entries of their own

foreach(area IN LISTS areas)
  set(name hstu_${area}_tests)
  hstu_test_program(${name} ${files_of_${area}})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  add_test(NAME ${area} COMMAND ${name} --order rand --rng-seed 20261124 --warn NoAssertions
                                --reporter console --reporter xml::out=${report_folder}/${area}.xml)
  # Catch2 ends with 4 if it skipped all cases, as those of `memory` under a sanitizer.
  set_tests_properties(${area} PROPERTIES TIMEOUT 600 LABELS unit SKIP_RETURN_CODE 4)
  if(area STREQUAL "exhaustion")
    set_tests_properties(${area} PROPERTIES COST 100)  # the longest: first, so that the other core is not idle at the end
  endif()
  if(area STREQUAL "cli")
    hstu_test_runs_cli(${name})
  endif()
endforeach()

# The golden program runs every file of tests/golden, or of $HSTU_GOLDEN_DIR.
file(GLOB golden_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/golden/*.cpp)
list(FILTER golden_files EXCLUDE REGEX "\\.test\\.cpp$")
if(golden_files AND NOT TARGET hstu_golden_tests)
  hstu_test_program(hstu_golden_tests ${golden_files})
  target_compile_definitions(hstu_golden_tests PRIVATE HSTU_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
  set_target_properties(hstu_golden_tests PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  add_test(NAME golden COMMAND hstu_golden_tests)
  set_tests_properties(golden PROPERTIES TIMEOUT 600 LABELS golden)
endif()

# Tests of the scripts, none of which needs a network.
file(GLOB script_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/scripts/*.sh)
foreach(file IN LISTS script_tests)
  get_filename_component(stem ${file} NAME_WE)
  add_test(NAME scripts.${stem} COMMAND bash ${file})
  set_tests_properties(scripts.${stem} PROPERTIES TIMEOUT 120 LABELS scripts)
endforeach()

# The flags with which a compiler finds the library and what it includes.
set(library_includes -I${PROJECT_SOURCE_DIR}/include)
foreach(library Eigen3::Eigen nlohmann_json::nlohmann_json)
  get_target_property(folders ${library} INTERFACE_INCLUDE_DIRECTORIES)
  foreach(folder IN LISTS folders)
    if(NOT folder MATCHES "^\\$<|^/usr/include$")
      list(APPEND library_includes -isystem ${folder})
    endif()
  endforeach()
endforeach()

include(${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz.cmake)
include(${PROJECT_SOURCE_DIR}/tests/faults/faults.cmake)
