SUMMARY = "The gateway's own programs: health, identity, data, boot selection"
DESCRIPTION = "What images/common and a machine's folder in images/ lay over a root file system, whoever builds it."
HOMEPAGE = "https://docs.yoctoproject.org"
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

GATEWAY_PARTS = "common/overlay ${MACHINE}/overlay ${@' '.join(gateway_variant_parts(d, 'overlay'))}"

inherit gateway_files systemd

SYSTEMD_SERVICE:${PN} = " \
    gateway-agent.service \
    gateway-data.service \
    gateway-health.service \
    gateway-host-key.service \
    gateway-keep.path \
    gateway-keep.service \
    "

# Other packages' files: theirs are made of ours (bbappends of this layer).
GATEWAY_OTHERS = "etc/fstab etc/inputrc etc/fw_env.config etc/mender etc/rauc etc/u-boot-initial-env"
# Units that these images have no use for, as in images/*/recipe.yaml.
GATEWAY_MASKED = " \
    getty@tty1.service \
    ldconfig.service \
    systemd-journal-catalog-update.service \
    systemd-journal-flush.service \
    systemd-machine-id-commit.service \
    systemd-networkd-wait-online.service \
    systemd-random-seed.service \
    systemd-tmpfiles-clean.timer \
    systemd-update-done.service \
    "
GATEWAY_SERVICES = "sshd.service systemd-networkd.service gateway-agent.service"
GATEWAY_HEALTH_DEADLINE = "180"

do_compile[noexec] = "1"

do_install() {
    gateway_lay_over ${D} ${GATEWAY_PARTS}
    for path in ${GATEWAY_OTHERS}; do
        rm -rf ${D}/$path
    done
    # systemd.bbclass looks for units where packages have them.
    install -d ${D}${systemd_system_unitdir}
    mv ${D}${sysconfdir}/systemd/system/gateway-* ${D}${systemd_system_unitdir}/
    # Debian's name for what OpenSSH calls sshd.service: our drop-ins and orders use it.
    ln -sf ${systemd_system_unitdir}/sshd.service ${D}${sysconfdir}/systemd/system/ssh.service
    for unit in ${GATEWAY_MASKED}; do
        ln -sf /dev/null ${D}${sysconfdir}/systemd/system/$unit
    done
    install -d ${D}${sysconfdir}/gateway ${D}/data
    printf 'SERVICES="%s"\nDEADLINE=%s\n' '${GATEWAY_SERVICES}' '${GATEWAY_HEALTH_DEADLINE}' \
        >${D}${sysconfdir}/gateway/health.conf
    find ${D} -type f -path '*bin/*' -exec chmod 0755 {} +
    chown -R root:root ${D}
}

do_install[vardeps] += "GATEWAY_VARIANTS"
PACKAGE_ARCH = "${MACHINE_ARCH}"

FILES:${PN} += "/data ${nonarch_libdir} ${ROOT_HOME} ${prefix}/local"

RDEPENDS:${PN} += "coreutils \
    curl \
    e2fsprogs-dumpe2fs \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    findutils \
    grep \
    gzip \
    openssh-keygen \
    openssh-sshd \
    sed \
    tar \
    util-linux-blockdev \
    util-linux-flock \
    util-linux-mountpoint \
    "
