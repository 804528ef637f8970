# Both policies put the environment where the disk image has it; what may be believed of it is what they differ in.
include ${@'u-boot-${GATEWAY_BOOT_POLICY}.inc' if d.getVar('MACHINE') == 'rpi4' else ''}
