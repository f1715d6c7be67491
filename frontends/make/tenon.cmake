# Models as CMake targets:
#
#   find_package(tenon REQUIRED)        # or include(PATH/tenon.cmake)
#   tenon_add_model(digits digits.onnx SET n=1)
#   target_link_libraries(program PRIVATE digits)
#
# tenon_add_model(<target> <model>
#                 [NAME name] [TARGET cpu[,cpu...]] [WEIGHTS embed|file] [SET symbol=size...]
#                 [FUNCTION name] [ENTRY verb] [STATES file] [OPTIONS option...] [DEPENDS file...])
#
# A static library <target> that has the model's object, and whose users find its header: #include "name.h". `name` is
# <target> where nothing else is said; identifiers begin with it. Other words are options of `tenon compile`, those
# without a word of their own go into OPTIONS. Where the build is for another machine and TARGET is not given, it is
# that of CMAKE_C_COMPILER_TARGET or CMAKE_LIBRARY_ARCHITECTURE. The model is compiled again when it, one of DEPENDS,
# or the program `tenon` changes. With WEIGHTS file the property TENON_WEIGHTS of <target> is the path of that file.
#
# TENON_EXECUTABLE is the program; the cache has it once it was found.

cmake_minimum_required(VERSION 3.16)

# It runs here, also where the build is for another machine.
find_program(TENON_EXECUTABLE tenon
    HINTS "${CMAKE_CURRENT_LIST_DIR}/../../../bin" "${CMAKE_CURRENT_LIST_DIR}/../../../../bin"
    NO_CMAKE_FIND_ROOT_PATH
    DOC "The program tenon, which compiles models")

# The machine that code is for; empty: this one, or tenon's own choice.
function(_tenon_find_target variable)
    set(${variable} "" PARENT_SCOPE)
    if(NOT CMAKE_CROSSCOMPILING)
        return()
    endif()
    foreach(candidate "${CMAKE_C_COMPILER_TARGET}" "${CMAKE_C_LIBRARY_ARCHITECTURE}" "${CMAKE_LIBRARY_ARCHITECTURE}")
        if(candidate)
            set(${variable} "${candidate}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    message(FATAL_ERROR "tenon_add_model: the build is for another machine: TARGET says which (tenon compile --help)")
endfunction()

# The language that links a library without sources of its own.
function(_tenon_linker_language target)
    get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
    if("C" IN_LIST languages)
        set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
    else()
        set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
    endif()
endfunction()

function(tenon_add_model target model)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "NAME;TARGET;WEIGHTS;FUNCTION;ENTRY;STATES" "SET;OPTIONS;DEPENDS")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "tenon_add_model(${target}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    if(arg_KEYWORDS_MISSING_VALUES)
        message(FATAL_ERROR "tenon_add_model(${target}): ${arg_KEYWORDS_MISSING_VALUES} needs a value")
    endif()
    if(NOT TENON_EXECUTABLE)
        message(FATAL_ERROR "tenon_add_model(${target}): there is no program tenon; TENON_EXECUTABLE says where it is")
    endif()
    if(NOT arg_NAME)
        set(arg_NAME "${target}")
    endif()
    if(NOT arg_TARGET)
        _tenon_find_target(arg_TARGET)
    endif()
    # As for sources: from the folder of the list file, else from the build's, where it may be made.
    get_filename_component(path "${model}" ABSOLUTE)
    if(NOT EXISTS "${path}")
        get_filename_component(path "${model}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
    endif()

    set(options)
    foreach(word TARGET WEIGHTS FUNCTION ENTRY)
        if(arg_${word})
            string(TOLOWER "--${word}" option)
            list(APPEND options "${option}" "${arg_${word}}")
        endif()
    endforeach()
    if(arg_STATES)
        get_filename_component(states "${arg_STATES}" ABSOLUTE)
        if(NOT EXISTS "${states}")
            get_filename_component(states "${arg_STATES}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
        endif()
        list(APPEND options --states "${states}")
    endif()
    foreach(size IN LISTS arg_SET)
        list(APPEND options --set "${size}")
    endforeach()

    set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}.tenon")
    file(MAKE_DIRECTORY "${folder}")
    set(files "${folder}/${arg_NAME}.o" "${folder}/${arg_NAME}.h")
    if("${arg_WEIGHTS}" STREQUAL "file")
        list(APPEND files "${folder}/${arg_NAME}.weights")
    endif()
    add_custom_command(OUTPUT ${files}
        COMMAND "${TENON_EXECUTABLE}" compile "${path}" -o "${folder}/${arg_NAME}" ${options} ${arg_OPTIONS}
        DEPENDS "${path}" ${states} ${arg_DEPENDS} "${TENON_EXECUTABLE}"
        COMMENT "Compiling the model ${model}" VERBATIM)

    add_library(${target} STATIC ${files})
    set_source_files_properties("${folder}/${arg_NAME}.o" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_include_directories(${target} INTERFACE "${folder}")
    _tenon_linker_language(${target})
    if("${arg_WEIGHTS}" STREQUAL "file")
        set_target_properties(${target} PROPERTIES TENON_WEIGHTS "${folder}/${arg_NAME}.weights")
    endif()
endfunction()
