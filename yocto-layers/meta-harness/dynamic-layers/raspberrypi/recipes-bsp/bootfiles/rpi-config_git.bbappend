# config.txt is the one of the Debian image.
FILESEXTRAPATHS:prepend:rpi4 := "${GATEWAY_IMAGES}/rpi4/boot:"

SRC_URI:append:rpi4 = " file://config.txt"

do_deploy:append:rpi4() {
    install -m 0644 ${UNPACKDIR}/config.txt ${DEPLOYDIR}/${BOOTFILES_DIR_NAME}/config.txt
}
