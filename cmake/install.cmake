# SPDX-License-Identifier: MIT
# Headers, find_package(hstu) and pkg-config.  But for hstu::cuda nothing depends on the machine, so it lies under include/
# and share/.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_DATADIR}/cmake/hstu)

install(DIRECTORY include/hstu DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library FILES_MATCHING PATTERN "*.hpp")
install(TARGETS hstu EXPORT hstu_targets)
install(EXPORT hstu_targets NAMESPACE hstu:: FILE hstu-targets.cmake DESTINATION ${package_folder} COMPONENT library)

# hstu::cuda, where the kernels are built; a library of this machine's architecture.
if(TARGET hstu_cuda)
  install(TARGETS hstu_cuda EXPORT hstu_cuda_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cuda)
  install(EXPORT hstu_cuda_targets NAMESPACE hstu:: FILE hstu-cuda-targets.cmake DESTINATION ${package_folder}
          COMPONENT cuda)
endif()

configure_package_config_file(cmake/hstu-config.cmake.in ${PROJECT_BINARY_DIR}/hstu-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/hstu-config-version.cmake COMPATIBILITY SameMajorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/hstu-config.cmake ${PROJECT_BINARY_DIR}/hstu-config-version.cmake
        DESTINATION ${package_folder} COMPONENT library)

configure_file(cmake/hstu.pc.in ${PROJECT_BINARY_DIR}/hstu.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/hstu.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT library)
