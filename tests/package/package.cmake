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

list(JOIN library_includes "' '" quoted_includes)
add_test(NAME package.plain_compiler COMMAND sh -c
  "'${CMAKE_CXX_COMPILER}' -std=c++20 main.cpp other.cpp '${quoted_includes}' -pthread \
-o '${package_build}/plain' && '${package_build}/plain'")
set_tests_properties(package.plain_compiler PROPERTIES WORKING_DIRECTORY ${package_folder})

find_program(pkg_config_program pkg-config)
if(pkg_config_program)
  add_test(NAME package.pkg_config COMMAND sh -c
    "export PKG_CONFIG_PATH='${prefix}/${CMAKE_INSTALL_DATADIR}/pkgconfig' && \
test \"$('${pkg_config_program}' --modversion hstu)\" = ${PROJECT_VERSION} && \
'${CMAKE_CXX_COMPILER}' -std=c++20 -fsyntax-only other.cpp $('${pkg_config_program}' --cflags hstu)")
  set_tests_properties(package.pkg_config PROPERTIES WORKING_DIRECTORY ${package_folder} FIXTURES_REQUIRED hstu_prefix)
endif()

include(${package_folder}/headers.cmake)

get_property(package_tests DIRECTORY PROPERTY TESTS)
list(FILTER package_tests INCLUDE REGEX "^package\\.")
set_tests_properties(${package_tests} PROPERTIES TIMEOUT 600 LABELS package)
set_tests_properties(package.every_header_alone PROPERTIES TIMEOUT 1800)
