"""A guest of one sector: boots from the medium in milliseconds and does as the console says.

A key typed on the serial console makes it:

    r  reset through the chipset     t  triple fault          p  power off (ACPI)
    w  write its sector to LBA 1     f  flush the disk        e  print 0123456789 without end
    c  count up in RAM and print it  anything else: echo it

It prints "boot" at its start, "W" (or "X" for an error) after a write, "F" after a flush.
"""

import struct

from harness.boards.board import Board
from harness.boards.qemu.board import QemuBoard
from harness.boards.qemu.device import QemuDevice

# Real mode at 0x7c00; assembled with `as --32`, listed by objdump -Mi8086.
_CODE = bytes.fromhex(
    "fc"  # 7c00 cld
    "31c0 8ed8 8ec0 8ed0"  # 7c01 ds = es = ss = 0
    "bc007c"  # 7c09 mov sp, 0x7c00
    "8816c77c"  # 7c0c mov [drive], dl
    "bebf7c e89e00"  # 7c10 puts "boot\r\n"
    "e87d00"  # 7c16 next: al = getc()
    "3c63 741d 3c72 7425 3c74 7429 3c70 742b"  # 7c19 'c' 'r' 't' 'p'
    "3c77 7430 3c66 7446 3c65 7454"  # 7c29 'w' 'f' 'e'
    "e86d00 ebdc"  # 7c35 putc(al); next
    "fe06c67c a0c67c e86100 ebd0"  # 7c3a count: inc [counter]; putc; next
    "baf90c b006 ee ebfe"  # 7c46 reset: out 0xcf9, 6; hang
    "0f011ec87c cc"  # 7c4e triple: lidt [null]; int3
    "ba0406 b80020 ef ebfe"  # 7c54 poweroff: out 0x604, 0x2000; hang
    "b80103 bb007c b90200 30f6 8a16c77c cd13"  # 7c5d write: int 13h/ah=3, sector 2
    "b057 1400 e83000 eb9f"  # 7c6e putc('W' + carry); next
    "baf701 b0e7 ee"  # 7c77 flush: ATA command 0xe7
    "ec a880 75fb b046 e81e00 eb8d"  # 7c7d wait for BSY to go; putc('F'); next
    "b030 e81700 fec0 3c3a 75f7 ebf3"  # 7c89 endless
    "fb f4 bafd03 ec a801 74f7 baf803 ec c3"  # 7c96 getc: hlt until 0x3fd says ready
    "50 bafd03 ec a820 74fb 58 baf803 ee c3"  # 7ca5 putc
    "ac 84c0 7405 e8e9ff ebf6 c3"  # 7cb4 puts
)
_DATA = b"boot\r\n\0" + b"0" + b"\0" + bytes(6)  # message, counter, drive, null IDT

SIZE = 1 << 20


def image() -> bytes:
    """A disk image of 1 MiB with the guest in its boot sector."""
    sector = (_CODE + _DATA).ljust(510, b"\0") + struct.pack("<H", 0xAA55)
    return sector.ljust(SIZE, b"\0")


def device(board: Board) -> QemuDevice:
    """What plays a board: to type on its console without a login."""
    assert isinstance(board, QemuBoard)
    return board._device
