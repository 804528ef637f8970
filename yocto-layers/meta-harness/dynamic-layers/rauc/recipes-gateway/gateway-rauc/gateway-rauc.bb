SUMMARY = "RAUC as the gateway's programs use it"
DESCRIPTION = "The client, its service and its settings; never rauc-mark-good, which would commit past the health check."
HOMEPAGE = "https://rauc.io"
LICENSE = "Apache-2.0"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

RDEPENDS:${PN} = " \
    rauc \
    rauc-conf \
    rauc-service \
    "
