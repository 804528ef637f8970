# Folders of images/, and those that the asked-for variants bring.

# nooelint: oelint.vars.fileextrapaths,oelint.vars.outofcontext - the files are those of the Debian images
FILESEXTRAPATHS:prepend := "${GATEWAY_IMAGES}:"

# Folders of a kind (overlay, initramfs, boot, u-boot), relative to images/.
def gateway_variant_parts(d, kind):
    found = []
    for name in (d.getVar('GATEWAY_VARIANTS') or '').split():
        for owner in ('common', d.getVar('MACHINE')):
            part = '%s/variants/%s/%s' % (owner, name, kind)
            if os.path.isdir(os.path.join(d.getVar('GATEWAY_IMAGES'), part)):
                found.append(part)
    return found
