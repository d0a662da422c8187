# Bulkhead::sdk: what an application compiles with. bulkhead_application(TARGET): makes an executable one.
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
    target_sources(bulkhead_sdk INTERFACE ${bulkhead_sdk_sources})
    target_include_directories(bulkhead_sdk INTERFACE "${BULKHEAD_SDK_INCLUDE_DIR}" "${BULKHEAD_BOARD}")
    target_compile_options(bulkhead_sdk INTERFACE
        -mcpu=cortex-m33 -mthumb -mfloat-abi=soft -ffreestanding -ffunction-sections -fdata-sections)
    target_link_options(bulkhead_sdk INTERFACE
        -mcpu=cortex-m33 -mthumb -mfloat-abi=soft -nostartfiles -Wl,--gc-sections -Wl,--no-warn-rwx-segments)
    target_link_libraries(bulkhead_sdk INTERFACE c gcc)
endif()

function(bulkhead_application target)
    target_link_libraries(${target} PRIVATE Bulkhead::sdk)
    target_link_options(${target} PRIVATE -T "${BULKHEAD_BOARD}/application.ld")
    set_target_properties(${target} PROPERTIES SUFFIX .elf LINK_DEPENDS "${BULKHEAD_BOARD}/application.ld")
endfunction()
