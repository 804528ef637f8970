# Three variables choose what is booted: rootpart (a partition), upgrade_available (1: on trial), bootcount (attempts so far). An
# environment that cannot be read is taken for one that says: partition 2, not on trial.
setenv rootpart 2
setenv upgrade_available 0
setenv bootcount 0
if @LOAD@; then
    env import -c ${kernel_addr_r} @SIZE@ rootpart upgrade_available bootcount
fi
if test "${upgrade_available}" = 1; then
    setexpr bootcount ${bootcount} + 1
    if itest ${bootcount} -gt 3; then
        if test "${rootpart}" = 2; then setenv rootpart 3; else setenv rootpart 2; fi
        setenv upgrade_available 0
        setenv bootcount 0
    fi
    env export -c -s @SIZE@ ${kernel_addr_r} rootpart upgrade_available bootcount
    @SAVE@
fi
echo "u-boot: partition ${rootpart}"
setenv bootargs "root=PARTUUID=@SIGNATURE@-0${rootpart} rw console=ttyAMA0,115200 panic=5 quiet"
load virtio 0:${rootpart} ${kernel_addr_r} /boot/vmlinuz
load virtio 0:${rootpart} ${ramdisk_addr_r} /boot/initrd.img
booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}
reset
