SUMMARY = "GRUB in raw sectors, and the boot partition with the boot selection"
DESCRIPTION = "The core image holds every module that it needs. The boot partition is a tar archive: GRUB reads it, nothing \
in it ever moves, and no power cut can damage a file system that is none."
HOMEPAGE = "https://www.gnu.org/software/grub/"
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

DEPENDS = "grub grub-native"
PROVIDES = "virtual/bootloader"

GATEWAY_PARTS = "legacy-gateway/boot ${@' '.join(gateway_variant_parts(d, 'boot'))}"

inherit gateway_files deploy nopackages

SRC_URI += "file://boot-partition.py"
COMPATIBLE_MACHINE = "legacy-gateway"

# As harness/builders/debian/bootloaders/grub.py has them.
GATEWAY_GRUB_MODULES = " \
    biosdisk part_msdos tar squash4 loadenv normal configfile eval \
    serial terminal echo test true date datehook linux boot reboot \
    gzio xzio lzopio \
    "

do_install[noexec] = "1"

do_compile() {
    rm -rf ${B}/boot
    mkdir -p ${B}/boot
    gateway_lay_over ${B}/boot ${GATEWAY_PARTS}
    grub=${RECIPE_SYSROOT}${libdir}/grub/i386-pc
    grub-mkimage -O i386-pc -d $grub -p '(hd0,msdos1)' -o ${B}/gateway-core.img ${GATEWAY_GRUB_MODULES}
    [ "$(stat -c %s ${B}/gateway-core.img)" -le $(expr 1022 \* 512) ] || bbfatal "GRUB's core image does not fit in front of sector 1023"
    head -c 440 $grub/boot.img >${B}/gateway-mbr.img
    python3 ${UNPACKDIR}/boot-partition.py ${B}/boot ${B}/gateway-boot.img
}

do_deploy() {
    install -m 0644 ${B}/gateway-core.img ${B}/gateway-mbr.img ${B}/gateway-boot.img ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build

do_compile[vardeps] += "GATEWAY_VARIANTS"
PACKAGE_ARCH = "${MACHINE_ARCH}"
