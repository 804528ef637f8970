# What makes a root file system a slot: kernel and first process in /boot, who it is, which units start, and, of a bad
# version, what is taken out of it.
#
# A variant that a machine has not is an error: nobody may believe that a control was built.

inherit core-image

# In the order of images/*/recipe.yaml; the ones with a folder in images/ need no line here.
GATEWAY_REMOVES[init-missing] = "/usr/sbin/init /sbin/init"
GATEWAY_REMOVES[no-kernel] = "/boot/vmlinuz"
GATEWAY_REMOVES[no-initramfs] = "/boot/initrd.img"
GATEWAY_REMOVES[no-network] = "/etc/systemd/network/10-wired.network"
GATEWAY_REMOVES[trial-unlimited] = "/usr/lib/systemd/system-generators/gateway-trial"
GATEWAY_REMOVES[emergency-prompt] = "/etc/systemd/system/emergency.service.d/gateway.conf"

# nooelint: oelint.task.noanonpython - before anything is built
python () {
    known = d.getVarFlags('GATEWAY_REMOVES') or {}
    images = d.getVar('GATEWAY_IMAGES')
    for name in (d.getVar('GATEWAY_VARIANTS') or '').split():
        folders = [os.path.join(images, owner, 'variants', name) for owner in ('common', d.getVar('MACHINE'))]
        if name not in known and not any(os.path.isdir(each) for each in folders):
            bb.fatal('GATEWAY_VARIANTS: %s has no variant %s' % (d.getVar('MACHINE'), name))
}

def gateway_taken(d):
    found = []
    for name in (d.getVar('GATEWAY_VARIANTS') or '').split():
        found += (d.getVarFlag('GATEWAY_REMOVES', name) or '').split()
    return ' '.join(found)

do_rootfs[vardeps] += "GATEWAY_VARIANTS GATEWAY_VERSION"
do_rootfs[depends] += "gateway-initramfs:do_image_complete virtual/kernel:do_deploy"
# Mender's artifact carries the state scripts.
do_image_mender[depends] += "${@'gateway-state-scripts:do_deploy' if d.getVar('GATEWAY_CLIENT') == 'mender' else ''}"

ROOTFS_POSTPROCESS_COMMAND += "gateway_place_kernel gateway_identify gateway_take_out"

gateway_place_kernel() {
    install -d ${IMAGE_ROOTFS}/boot
    install -m 0644 ${DEPLOY_DIR_IMAGE}/${GATEWAY_KERNEL} ${IMAGE_ROOTFS}/boot/vmlinuz
    install -m 0644 ${DEPLOY_DIR_IMAGE}/gateway-initramfs-${MACHINE}.cpio.gz ${IMAGE_ROOTFS}/boot/initrd.img
    for tree in ${GATEWAY_DEVICETREES}; do
        install -m 0644 ${DEPLOY_DIR_IMAGE}/$tree ${IMAGE_ROOTFS}/boot/$tree
    done
}

gateway_identify() {
    printf 'VERSION=%s\nMACHINE=%s\nVARIANT=%s\n' '${GATEWAY_VERSION}' '${MACHINE}' \
        "$(echo ${GATEWAY_VARIANTS} | tr ' ' ',')" >${IMAGE_ROOTFS}${sysconfdir}/gateway-release
    # Empty, not missing: systemd then takes a transient one instead of calling this a first boot.
    : >${IMAGE_ROOTFS}${sysconfdir}/machine-id
    if [ -n "${GATEWAY_AUTHORIZED_KEYS}" ]; then
        install -d -m 0700 ${IMAGE_ROOTFS}${ROOT_HOME}/.ssh
        install -m 0600 ${GATEWAY_AUTHORIZED_KEYS} ${IMAGE_ROOTFS}${ROOT_HOME}/.ssh/authorized_keys
    fi
}

gateway_take_out() {
    for path in ${@gateway_taken(d)}; do
        rm -f ${IMAGE_ROOTFS}$path
    done
}

# The first 440 bytes of a BIOS disk are the boot loader's; wic writes the rest of that sector.
IMAGE_CMD:wic:append:legacy-gateway() {
    dd if=${DEPLOY_DIR_IMAGE}/gateway-mbr.img of=$out.wic bs=440 count=1 conv=notrunc
}
