# Files of images/ as the Debian builder lays them into an image: the same ones, never a copy in this layer.
#
# GATEWAY_PARTS: folders of images/ (`common/overlay`), later ones win. A variant adds the folder of its name.

inherit gateway_variants

GATEWAY_MARKS = "-e 's/@SIGNATURE@/${GATEWAY_DISK_SIGNATURE}/g' -e 's/@COMPATIBLE@/${MACHINE}/g'"

def gateway_uris(d):
    return ' '.join('file://%s' % part for part in d.getVar('GATEWAY_PARTS').split())

SRC_URI = "${@gateway_uris(d)}"
S = "${UNPACKDIR}"

INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"

# gateway_lay_over TARGET PART...: what is in the parts, with our marks filled in.
gateway_lay_over() {
    target=$1
    shift
    for part in "$@"; do
        cp -R --no-dereference --preserve=mode,links ${UNPACKDIR}/$part/. $target/
    done
    find $target -type f -exec sed -i ${GATEWAY_MARKS} {} +
}
