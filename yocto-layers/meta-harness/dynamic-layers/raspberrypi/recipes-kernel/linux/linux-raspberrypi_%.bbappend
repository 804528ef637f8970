FILESEXTRAPATHS:prepend:rpi4 := "${THISDIR}/../../../../recipes-kernel/linux/files:${THISDIR}/files:"

SRC_URI:append:rpi4 = " file://gateway.cfg file://rpi4.cfg ${@'file://rpi4-qemu.cfg' if d.getVar('GATEWAY_QEMU') == '1' else ''}"
