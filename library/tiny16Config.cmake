# The package tiny16: targets tiny16 and tiny16::tiny16 (static), tiny16::shared.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)

set(tiny16_lib "${CMAKE_CURRENT_LIST_DIR}")
set(tiny16_include "${CMAKE_CURRENT_LIST_DIR}")
set(tiny16_shared "libtiny16.so")
include("${CMAKE_CURRENT_LIST_DIR}/tiny16Paths.cmake" OPTIONAL)

if(NOT TARGET tiny16)
    add_library(tiny16 STATIC IMPORTED GLOBAL)
    set_target_properties(tiny16 PROPERTIES
        IMPORTED_LOCATION "${tiny16_lib}/libtiny16.a"
        INTERFACE_INCLUDE_DIRECTORIES "${tiny16_include}"
        INTERFACE_LINK_LIBRARIES "Threads::Threads;m")
    add_library(tiny16::tiny16 INTERFACE IMPORTED GLOBAL)
    set_target_properties(tiny16::tiny16 PROPERTIES INTERFACE_LINK_LIBRARIES tiny16)
    add_library(tiny16::shared SHARED IMPORTED GLOBAL)
    set_target_properties(tiny16::shared PROPERTIES
        IMPORTED_LOCATION "${tiny16_lib}/${tiny16_shared}"
        IMPORTED_SONAME "libtiny16.so.1"
        INTERFACE_INCLUDE_DIRECTORIES "${tiny16_include}")
endif()
