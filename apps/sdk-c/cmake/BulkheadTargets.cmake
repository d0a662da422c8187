# Bulkhead::sdk: what an application compiles with. bulkhead_application(TARGET [OWN_STARTUP] [LINKER_SCRIPT FILE]): makes
# an executable one. OWN_STARTUP: it brings vector table and reset handler, in a section .vectors or .isr_vector.
#
# The sources are compiled into each application: what they need of the board is known there alone.
if(NOT TARGET Bulkhead::sdk)
    if(NOT BULKHEAD_BOARD)
        message(FATAL_ERROR
            "set BULKHEAD_BOARD to the folder with application.ld and bh_board.h; "
            "`cargo xtask apps` writes them to target/apps/generated")
    endif()
    add_library(bulkhead_sdk INTERFACE)
    add_library(Bulkhead::sdk ALIAS bulkhead_sdk)
    file(GLOB bulkhead_sdk_sources CONFIGURE_DEPENDS "${BULKHEAD_SDK_SOURCE_DIR}/*.c")
    list(REMOVE_ITEM bulkhead_sdk_sources "${BULKHEAD_SDK_SOURCE_DIR}/start.c")
    target_sources(bulkhead_sdk INTERFACE ${bulkhead_sdk_sources})
    target_include_directories(bulkhead_sdk INTERFACE "${BULKHEAD_SDK_INCLUDE_DIR}" "${BULKHEAD_BOARD}")
    target_compile_options(bulkhead_sdk INTERFACE
        -mcpu=cortex-m33 -mthumb -mfloat-abi=soft -ffreestanding -ffunction-sections -fdata-sections
        # C++ without what firmware seldom pays for; whoever wants it says so behind, and links stdc++.
        "$<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions;-fno-rtti;-fno-threadsafe-statics;-fno-use-cxa-atexit>")
    # -nodefaultlibs: g++ would ask for libstdc++, which not every toolchain for firmware brings.
    target_link_options(bulkhead_sdk INTERFACE
        -mcpu=cortex-m33 -mthumb -mfloat-abi=soft -nostartfiles -nodefaultlibs
        -Wl,--gc-sections -Wl,--no-warn-rwx-segments)
    target_link_libraries(bulkhead_sdk INTERFACE c gcc)
endif()

function(bulkhead_application target)
    cmake_parse_arguments(PARSE_ARGV 1 own "OWN_STARTUP" "LINKER_SCRIPT" "")
    if(NOT own_LINKER_SCRIPT)
        set(own_LINKER_SCRIPT "${BULKHEAD_BOARD}/application.ld")
    endif()
    target_link_libraries(${target} PRIVATE Bulkhead::sdk)
    target_link_options(${target} PRIVATE -T "${own_LINKER_SCRIPT}")
    if(own_OWN_STARTUP)
        target_link_options(${target} PRIVATE -Wl,--entry=Reset_Handler)
    else()
        target_sources(${target} PRIVATE "${BULKHEAD_SDK_SOURCE_DIR}/start.c")
    endif()
    set_target_properties(${target} PROPERTIES SUFFIX .elf LINK_DEPENDS "${own_LINKER_SCRIPT}")
endfunction()
