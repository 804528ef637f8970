# The same system.conf as the Debian image: our boot-selection backend, bundles with verity only.
FILESEXTRAPATHS:prepend:legacy-gateway := "${GATEWAY_IMAGES}/legacy-gateway/overlay/etc/rauc:"

do_install:append:legacy-gateway() {
    sed -i -e 's/@SIGNATURE@/${GATEWAY_DISK_SIGNATURE}/g' -e 's/@COMPATIBLE@/${MACHINE}/g' ${D}${nonarch_libdir}/rauc/system.conf
    if [ -n "${GATEWAY_KEYRING}" ]; then
        install -m 0644 ${GATEWAY_KEYRING} ${D}${nonarch_libdir}/rauc/keyring.pem
    else
        mv ${D}${nonarch_libdir}/rauc/${RAUC_KEYRING_FILE} ${D}${nonarch_libdir}/rauc/keyring.pem
    fi
}
