# Builds for 64-bit ARM Linux on another Debian machine (tools/install_deps.sh cross), and runs what it built
# under qemu's user emulation, so that ctest needs nothing else.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

# Debian keeps the other architecture's .pc files here; those of this machine must not be found.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)

find_program(ACCORD_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(ACCORD_QEMU)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${ACCORD_QEMU})
endif()
