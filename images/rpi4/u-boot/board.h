/* Appended to U-Boot's include/configs/rpi.h: what may be read back from the medium, and its type. */
#define CFG_ENV_FLAGS_LIST_STATIC \
	"mender_boot_part:dw,mender_boot_part_hex:dw,upgrade_available:dw,bootcount:dw"
