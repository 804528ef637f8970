# The same mender.conf as the Debian image. Our hardened policy keeps all of it in the slot: what lies on the data
# partition may have to be made anew.
require ${@'mender-hardened.inc' if d.getVar('GATEWAY_BOOT_POLICY') == 'hardened' else ''}
