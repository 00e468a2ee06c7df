# SPDX-License-Identifier: GPL-2.0-only
"""Lets gdb walk through functions whose return is probed: `source sidetrack-gdb.py`, then `bt` as usual.

While a return probe waits for a function, the return address on the stack is a place in a stub of Sidetrack's, and the
true one is in the lists of engine/return.h. This unwinder looks it up there, in a process that links libsidetrack (by its
symbol st_returns_list) and in one that the command line tool has attached to (by the memory that they share).
"""
import struct

import gdb
from gdb.unwinder import Unwinder, register_unwinder

# engine/return.h, agent/ctl.h (process/returns.c checks them)
PENDING_MAX = 128
PENDING_WORDS = 6
RETURN_AFTER = 8
CTL_MAGIC = 0x6b63617274656469
CTL_RETURNS_LIST = 96

# gdb's name: pc, sp, what else a caller may rely on, bytes of a word, key's distance from sp at the return
ARCHES = {
    "i386:x86-64": ("rip", "rsp", ["rbx", "rbp", "r12", "r13", "r14", "r15"], 8, 8),
    "aarch64": ("pc", "sp", ["x%d" % n for n in range(19, 30)], 8, 0),
    "arm": ("pc", "sp", ["r%d" % n for n in range(4, 12)], 4, 0),
}


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


def read_words(addr, count, size):
    data = bytes(gdb.selected_inferior().read_memory(addr, count * size))
    return struct.unpack("<%d%s" % (count, "Q" if size == 8 else "I"), data)


def list_places():
    """Addresses of the variable that the lists begin at."""
    places = []
    try:
        places.append(int(gdb.parse_and_eval("(unsigned long)&st_returns_list")))
    except gdb.error:
        pass
    try:
        with open("/proc/%d/maps" % gdb.selected_inferior().pid) as maps:
            starts = [int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith("/memfd:sidetrack (deleted)")]
    except OSError:
        starts = []
    for start in starts:
        try:
            if struct.unpack("<Q", bytes(gdb.selected_inferior().read_memory(start, 8)))[0] == CTL_MAGIC:
                at = gdb.selected_inferior().read_memory(start + CTL_RETURNS_LIST, 8)
                places.append(struct.unpack("<Q", bytes(at))[0])
        except gdb.MemoryError:
            pass
    return [p for p in places if p]


def true_address(pc, key, size, thumb):
    """Where a function that is to return to `pc` really returns to; None: nothing is pending there."""
    for place in list_places():
        at = read_words(place, 1, size)[0]
        while at:
            words = read_words(at, PENDING_MAX * PENDING_WORDS, size)
            for n in range(PENDING_MAX - 1, 0, -1):
                entry = words[n * PENDING_WORDS:(n + 1) * PENDING_WORDS]
                if entry[0] == key and entry[1] and \
                        read_words(entry[2] + RETURN_AFTER * size, 1, size)[0] & ~thumb == pc & ~thumb:
                    return entry[1]
            at = words[1]
    return None


class PendingReturns(Unwinder):
    def __init__(self):
        super().__init__("sidetrack")

    def __call__(self, frame):
        arch = frame.architecture().name()
        for name, (pc_name, sp_name, kept, size, distance) in ARCHES.items():
            if arch == name or (name == "arm" and arch.startswith("arm")):
                break
        else:
            return None
        mask = (1 << 8 * size) - 1
        pc = int(frame.read_register(pc_name)) & mask
        sp = int(frame.read_register(sp_name)) & mask
        try:
            addr = true_address(pc, sp - distance, size, 1 if name == "arm" else 0)
        except gdb.MemoryError:
            return None
        if addr is None:
            return None
        info = frame.create_unwind_info(FrameId(frame.read_register(sp_name), frame.read_register(pc_name)))
        for register in kept + [sp_name]:
            info.add_saved_register(register, frame.read_register(register))
        info.add_saved_register(pc_name, gdb.Value(addr & ~1 if name == "arm" else addr).cast(
            frame.read_register(pc_name).type))
        return info


register_unwinder(None, PendingReturns(), replace=True)
