# SPDX-License-Identifier: MIT
# Faults from outside: kills, failing system calls, lost power.  A script exits with 77 where a tool is missing.
find_package(Python3 COMPONENTS Interpreter)
if(NOT Python3_FOUND)
  return()
endif()

function(hstu_fault_test name)
  add_test(NAME faults.${name} COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/faults/${name}.py ${ARGN})
  set_tests_properties(faults.${name} PROPERTIES TIMEOUT 600 LABELS faults SKIP_RETURN_CODE 77)
endfunction()

if(NOT HSTU_SANITIZE)  # sanitizers do not link statically
  hstu_program(hstu_checkpoint_tool SOURCES ${PROJECT_SOURCE_DIR}/tests/faults/checkpoint_tool.cpp)
  target_link_options(hstu_checkpoint_tool PRIVATE -static -Wl,--wrap=write)
  hstu_fault_test(failing_calls $<TARGET_FILE:hstu_checkpoint_tool>)
  hstu_fault_test(power_loss $<TARGET_FILE:hstu_checkpoint_tool>)
endif()
if(TARGET hstu_cli)
  hstu_fault_test(kill_training $<TARGET_FILE:hstu_cli>)
  hstu_fault_test(same_bits $<TARGET_FILE:hstu_cli>)
  if(NOT HSTU_SANITIZE)  # a sanitizer keeps freed memory
    hstu_fault_test(steady_memory $<TARGET_FILE:hstu_cli>)
  endif()
endif()
