FILESEXTRAPATHS:prepend:legacy-gateway := "${THISDIR}/files:"

COMPATIBLE_MACHINE:legacy-gateway = "legacy-gateway"
SRC_URI:append:legacy-gateway = " file://gateway.cfg file://legacy-gateway.cfg"
