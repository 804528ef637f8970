# It would commit a version as soon as it boots, past the health check: gateway-health commits.
RRECOMMENDS:${PN}:remove:gateway = "${PN}-mark-good"
