# SPDX-License-Identifier: MIT
# What a user does with the library: install and find it, add its folder, call the compiler by hand, include any one header.
set(package_folder ${CMAKE_CURRENT_LIST_DIR})
set(package_build ${PROJECT_BINARY_DIR}/package)
set(prefix ${package_build}/prefix)

add_test(NAME package.install COMMAND sh -c
  "rm -rf '${prefix}' && '${CMAKE_COMMAND}' --install '${PROJECT_BINARY_DIR}' --prefix '${prefix}' --component library")
set_tests_properties(package.install PROPERTIES FIXTURES_SETUP hstu_prefix)

function(hstu_user_project name)
  add_test(NAME package.${name} COMMAND ${CMAKE_CTEST_COMMAND}
    --build-and-test ${package_folder}/${name} ${package_build}/${name} --build-generator ${CMAKE_GENERATOR}
    --build-options -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH=${prefix}
    --test-command ${package_build}/${name}/user)
endfunction()
hstu_user_project(find_package)
hstu_user_project(add_subdirectory)
set_tests_properties(package.find_package PROPERTIES FIXTURES_REQUIRED hstu_prefix)

get_target_property(eigen_include Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
get_target_property(json_include nlohmann_json::nlohmann_json INTERFACE_INCLUDE_DIRECTORIES)
add_test(NAME package.plain_compiler COMMAND sh -c
  "'${CMAKE_CXX_COMPILER}' -std=c++20 main.cpp other.cpp -I'${PROJECT_SOURCE_DIR}/include' -isystem '${eigen_include}' \
-idirafter '${json_include}' -pthread -o '${package_build}/plain' && '${package_build}/plain'")
set_tests_properties(package.plain_compiler PROPERTIES WORKING_DIRECTORY ${package_folder})

find_program(pkg_config_program pkg-config)
if(pkg_config_program)
  add_test(NAME package.pkg_config COMMAND sh -c
    "export PKG_CONFIG_PATH='${prefix}/${CMAKE_INSTALL_DATADIR}/pkgconfig' && \
test \"$('${pkg_config_program}' --modversion hstu)\" = ${PROJECT_VERSION} && \
'${CMAKE_CXX_COMPILER}' -std=c++20 -fsyntax-only other.cpp $('${pkg_config_program}' --cflags hstu)")
  set_tests_properties(package.pkg_config PROPERTIES WORKING_DIRECTORY ${package_folder} FIXTURES_REQUIRED hstu_prefix)
endif()

# One unit per header, compiled by its own ctest entry as a user's compiler would (no -march=native); only what changed
# is compiled again.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/include/*.hpp)
set(header_units "")
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} unit)
  file(CONFIGURE OUTPUT ${package_build}/headers/${unit}.cpp CONTENT "#include <${header}>\n#include <${header}>\n")
  list(APPEND header_units ${package_build}/headers/${unit}.cpp)
endforeach()
add_library(hstu_headers OBJECT EXCLUDE_FROM_ALL ${header_units})
target_link_libraries(hstu_headers PRIVATE hstu_warnings)
target_compile_options(hstu_headers PRIVATE -O0)
add_test(NAME package.every_header_alone COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target hstu_headers -j 2)
set_tests_properties(package.every_header_alone PROPERTIES PROCESSORS 2)

get_property(package_tests DIRECTORY PROPERTY TESTS)
list(FILTER package_tests INCLUDE REGEX "^package\\.")
set_tests_properties(${package_tests} PROPERTIES TIMEOUT 600 LABELS package)
set_tests_properties(package.every_header_alone PROPERTIES TIMEOUT 1800)
