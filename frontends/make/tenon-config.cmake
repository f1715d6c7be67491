# find_package(tenon): tenon_add_model (tenon.cmake), tenon::tenon, the compiler as a library, and tenon::runtime, which
# has no compiler. Objects of models need neither.

get_filename_component(_tenon_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
find_path(TENON_INCLUDE_DIR tenon.h
    HINTS "${_tenon_lib}/../include/tenon" "${_tenon_lib}/../../include/tenon" NO_DEFAULT_PATH)

if(NOT TARGET tenon::tenon AND EXISTS "${_tenon_lib}/libtenon.so")
    add_library(tenon::tenon SHARED IMPORTED)
    set_target_properties(tenon::tenon PROPERTIES
        IMPORTED_LOCATION "${_tenon_lib}/libtenon.so" INTERFACE_INCLUDE_DIRECTORIES "${TENON_INCLUDE_DIR}")
endif()
if(NOT TARGET tenon::runtime AND EXISTS "${_tenon_lib}/libtenon_rt.a")
    add_library(tenon::runtime STATIC IMPORTED)
    set_target_properties(tenon::runtime PROPERTIES
        IMPORTED_LOCATION "${_tenon_lib}/libtenon_rt.a" INTERFACE_INCLUDE_DIRECTORIES "${TENON_INCLUDE_DIR}"
        INTERFACE_LINK_LIBRARIES "pthread;m")
endif()

include("${CMAKE_CURRENT_LIST_DIR}/tenon.cmake")
if(NOT TENON_EXECUTABLE)
    set(tenon_FOUND FALSE)
    set(tenon_NOT_FOUND_MESSAGE "The program tenon is missing; TENON_EXECUTABLE says where it is")
endif()
unset(_tenon_lib)
