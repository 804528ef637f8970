SUMMARY = "The gateway's first process"
DESCRIPTION = "images/common/initramfs: starts the watchdog, mounts the slot, hands over to systemd."
HOMEPAGE = "https://docs.yoctoproject.org"
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

GATEWAY_PARTS = "common/initramfs ${@' '.join(gateway_variant_parts(d, 'initramfs'))}"

inherit gateway_files

do_compile[noexec] = "1"

# Its applets by the paths of the Debian images: `insmod` and others are not in /bin here.
GATEWAY_APPLETS = "insmod reboot switch_root"

do_install() {
    gateway_lay_over ${D} ${GATEWAY_PARTS}
    chmod 0755 ${D}/init
    install -d ${D}/dev ${D}/proc ${D}/sys ${D}/newroot ${D}/overlay ${D}/modules
    # Drivers are built in: there is nothing to load.
    : >${D}/modules/order
    install -d ${D}${bindir}
    if [ -d ${D}/bin ]; then # of a variant
        cp -R ${D}/bin/. ${D}${bindir}/
        rm -r ${D}/bin
    fi
    for applet in ${GATEWAY_APPLETS}; do
        [ -e ${D}${bindir}/$applet ] || ln -s ../sbin/$applet ${D}${bindir}/$applet
    done
    chown -R root:root ${D}
}

do_install[vardeps] += "GATEWAY_VARIANTS"
PACKAGE_ARCH = "${MACHINE_ARCH}"

FILES:${PN} += "/init /dev /proc /sys /newroot /overlay /modules"

RDEPENDS:${PN} += "busybox"
