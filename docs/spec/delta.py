#!/usr/bin/env python3
"""A decoder written from delta.md alone: `delta.py OLD PATCH NEW`. It proves the page; it is slow and refuses little."""
import sys

M = 0xFFFFFFFF
def signed(x, bits=32):
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x
def clamp(x, low, high): return max(low, min(x, high))
def log2(x):
    e = x.bit_length() - 1
    m = (x << (15 - e)) & 0x7FFF
    return e * 256 + ((m + ((m * (0x8000 - m)) >> 15) * 11 // 32) >> 7)
def stretch(p): return log2(p) - log2(65536 - p)
def squash(x):
    a = min(abs(x), 4095)
    f = a & 255
    q = (65536 - ((f * (44014 - ((f * 11246) >> 8))) >> 8)) >> (a >> 8)
    t = M // (65536 + q)
    return 65536 - t if x < 0 else min(t, 65535)
def hash(a, b):
    h = (a * 0x9E3779B1 & M) ^ (b * 0x85EBCA6B & M)
    h = (h ^ h >> 15) * 0xC2B2AE35 & M
    return h ^ h >> 13
def mag(x): return min(x.bit_length(), 15)

class Stream:
    def __init__(self, data):
        self.data, self.at, self.low, self.high, self.code = data, 0, 0, M, 0
        for _ in range(4): self.next()
    def next(self):
        if self.at >= len(self.data) + 8: raise ValueError("truncated")
        self.code = (self.code << 8 | (self.data[self.at] if self.at < len(self.data) else 0)) & M
        self.at += 1
    def decide(self, p):
        p, r = clamp(p, 2, 65534), self.high - self.low
        middle = self.low + (r >> 16) * p + (((r & 0xFFFF) * p) >> 16)
        bit = int(self.code <= middle)
        if bit: self.high = middle
        else: self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            self.low, self.high = self.low << 8 & M, (self.high << 8 | 255) & M
            self.next()
        return bit

class Counters:
    def __init__(self, count, p=32768, n=0, limit=40):
        self.p, self.n, self.limit = [p] * count, [n] * count, limit
    def learn(self, c, bit):
        d = 5 * self.n[c] + 8
        self.p[c] += (65535 - self.p[c]) * 5 // d if bit else -(self.p[c] * 5 // d)
        self.n[c] = min(self.n[c] + 1, self.limit)
    def bit(self, s, c):
        bit = s.decide(self.p[c])
        self.learn(c, bit)
        return bit
    def tree(self, s, c, k):
        node = 1
        for _ in range(k): node = 2 * node + self.bit(s, c + node)
        return node & ((1 << k) - 1)
    def num(self, s, c):
        k = 0
        while k < 29 and self.bit(s, c + k): k += 1
        node, m = 1, min(k, 9)
        for i in range(k):
            if i == 0: b = self.bit(s, c + 28 + 3 * m)
            elif i == 1: b = self.bit(s, c + 29 + 3 * m + (node & 1))
            elif i == k - 2: b = self.bit(s, c + 59)
            elif i == k - 1: b = self.bit(s, c + 60 + (node & 1))
            else: b = s.decide(32768)
            node = 2 * node + b
        return node - 1
    def int(self, s, c):
        if not self.bit(s, c): return 0
        negative = self.bit(s, c + 1)
        value = self.num(s, c + 2) + 1
        return -value if negative else value

def touch(recent, v):
    del recent[recent.index(v) if v in recent else 7]
    recent.insert(0, v)

def near(points, x, back_wins):
    """points: (start, end, shift), end exclusive edge for the distance."""
    front = [p for p in points if p[0] <= x]
    behind = [p for p in points if p[0] > x]
    if not points: return 0, 0, M
    if not behind: return front[-1][2], 0, x - front[-1][1]
    if not front: return behind[0][2], 0, behind[0][0] - x
    f, b = front[-1], behind[0]
    df, db = x - f[1], b[0] - x
    first = df <= db if back_wins else df < db
    return (f if first else b)[2], int(f[2] == b[2]), min(df, db)

class Map:
    def __init__(self): self.ranges = []
    def insert(self, start, end, shift):
        R = self.ranges
        i = sum(1 for r in R if r[1] <= start)
        while end - start >= 8 and i < len(R) and R[i][0] < end:
            s, e, v = R[i]
            if v == shift:
                start, end = min(start, s), max(end, e)
                del R[i]
            elif e - s >= end - start:
                left, right = max(0, s - start), max(0, end - e)
                if left >= right: end = start + left
                else: start, i = e, i + 1
            else:
                if s < start: e = start
                else: s = min(end, e)
                R[i] = (s, e, v)
                if e - s < 8: del R[i]
                elif e <= start: i += 1
        if end - start < 8: return
        if i < len(R) and R[i][2] == shift and R[i][0] - end < 64:
            end = R[i][1]
            del R[i]
        if i and R[i - 1][2] == shift and start - R[i - 1][1] < 64:
            start, i = R[i - 1][0], i - 1
            del R[i]
        if len(R) == 512:
            k = min(range(512), key=lambda k: R[k][1] - R[k][0])
            if R[k][1] - R[k][0] >= end - start: return
            del R[k]
            i -= k < i
        R.insert(i, (start, end, shift))
    def shift(self, x):
        for s, e, v in self.ranges:
            if s <= x < e: return v, 3, 0
        return near(self.ranges, x, False)

class Learned:
    def __init__(self, most): self.most, self.known = most, {}
    def insert(self, x, v):
        if x in self.known or len(self.known) < self.most: self.known[x] = v
    def shift(self, x):
        if x in self.known: return self.known[x], 2, 0
        return near([(a, a, v) for a, v in sorted(self.known.items())], x, True)

def branch(w):
    a, b = w & 0xFFFF, w >> 16
    s = a >> 10 & 1
    i1, i2 = ~(b >> 13 ^ s) & 1, ~(b >> 11 ^ s) & 1
    return signed(s << 24 | i1 << 23 | i2 << 22 | (a & 0x3FF) << 12 | (b & 0x7FF) << 1, 25)
def with_branch(w, d):
    s = d >> 24 & 1
    j1, j2 = ~(d >> 23 ^ s) & 1, ~(d >> 22 ^ s) & 1
    return 0xF000 | s << 10 | d >> 12 & 0x3FF | (w >> 16 & 0xD000 | j1 << 13 | j2 << 11 | d >> 1 & 0x7FF) << 16
def conditional(w):
    a, b = w & 0xFFFF, w >> 16
    return signed((a >> 10 & 1) << 20 | (b >> 11 & 1) << 19 | (b >> 13 & 1) << 18 | (a & 63) << 12 | (b & 0x7FF) << 1, 21)
def with_conditional(w, d):
    a = w & 0xFBC0 | (d >> 20 & 1) << 10 | d >> 12 & 63
    return a | (w >> 16 & 0xD000 | (d >> 19 & 1) << 11 | (d >> 18 & 1) << 13 | d >> 1 & 0x7FF) << 16
def is_branch(w): return w & 0x9000F800 == 0x9000F000
def is_movw(w): return w & 0x8000FBF0 == 0xF240
def is_movt(w): return w & 0x8000FBF0 == 0xF2C0
def immediate(w): return (w & 15) << 12 | (w >> 10 & 1) << 11 | (w >> 28 & 7) << 8 | w >> 16 & 255
def with_immediate(w, v):
    return w & 0xFBF0 | v >> 12 & 15 | (v >> 11 & 1) << 10 | (w >> 16 & 0x8F00 | (v >> 8 & 7) << 12 | v & 255) << 16

class Decoder:
    def __init__(self, old, patch, new_len):
        self.old, self.new_len, self.new = old, new_len, bytearray()
        at = 0
        def number():
            nonlocal at
            value, place = 0, 0
            while True:
                byte = patch[at]
                at += 1
                value |= (byte & 127) << place
                place += 7
                if byte < 128: return value
                if place == 28: raise ValueError("number")
        kind, at = patch[0], 1
        if kind >> 4 != 1 or kind & 8: raise ValueError("version")
        self.set, seg = kind & 3, 65536 if kind & 4 else 32768
        if self.set == 1:
            self.pmin, at = 1 << patch[1], 2
            self.ram_top = number()
            self.base = number() << 8
        count = (new_len + seg - 1) // seg
        lens = [number() for _ in range(count - 1)]
        ends = [len(patch) - sum(lens[i:]) for i in range(len(lens))] + [len(patch)]
        streams = [patch[a:b] for a, b in zip([at] + ends, ends)]
        s = Stream(streams[0])
        self.copies(s)
        for i in range(count):
            if i: s = Stream(streams[i])
            self.segment(s, min((i + 1) * seg, new_len))

    def copies(self, s):
        c, recent = Counters(272), [0] * 8
        at = last_shift = last_end = last_new = 0
        self.list, self.map = [], Map()
        while at < self.new_len:
            start = at
            literals = c.num(s, 0)
            at += literals
            if at == self.new_len:
                self.list.append((start, at, 0, 0, 0))
                break
            new = 0
            if c.bit(s, 258 + (literals > 0) + last_new): shift = last_shift
            elif c.bit(s, 261): new, shift = 1, c.num(s, 194) + 1
            elif c.bit(s, 262): shift = recent[c.tree(s, 264, 3)]
            else: shift = at - (last_end + c.int(s, 64))
            source, n = at - shift, c.num(s, 130) + 1
            limit = at if new else len(self.old)
            if source < 0 or at + n > self.new_len or (source >= limit if new else source + n > limit): raise ValueError("range")
            if not new:
                last_shift, last_end = shift, source + n
                touch(recent, shift)
                if self.set == 1: self.map.insert(source, source + n, shift)
            last_new = new
            self.list.append((start, at, new, source, n))
            at += n

    def segment(self, s, end):
        self.s = s
        self.weights = [[19660] * 6 for _ in range(28)]
        self.c, self.flags = Counters(524), Counters(768, 3000, 2, 250)
        cells = 7424 - 6 * len(self.map.ranges)
        runs = cells // 4 & ~1
        self.runs, self.hist = [0] * runs, [0] * (cells - runs)
        self.h_odds = [(3 * (i & 15) + 1) * 65535 // (3 * ((i >> 4) + (i & 15)) + 2) for i in range(256)]
        self.r_odds = [[(4 * r + 1) * 65535 // (4 * r + 2) for r in range(8)] for _ in range(4)]
        self.code, self.ram, self.numbers = Learned(96), Learned(64), Learned(192)
        self.recent = [[0] * 8 for _ in range(5)]
        self.history = self.since = self.last = 0
        while len(self.new) < end:
            at = len(self.new)
            entry = next(e for e in self.list if e[0] <= at < e[1] + e[4])
            piece = self.literal(entry, at, end) if at < entry[1] else self.copied(entry, at, end)
            self.new += piece
            self.last = int.from_bytes((self.last.to_bytes(4, "big") + piece)[-4:], "big")

    def w(self, image, x, n): return int.from_bytes(image[x:x + n], "little") if x >= 0 else 0

    def mix(self, k, x): return squash(sum((w >> 4) * i for w, i in zip(self.weights[k], x)) >> 12)
    def adjust(self, k, x, p, bit, slow):
        error = (65535 if bit else 0) - p
        self.weights[k] = [clamp(w + ((error * i + (1 << (slow - 1))) >> slow), -1 << 19, 1 << 19) for w, i in zip(self.weights[k], x)]

    def find(self, cells, key, tag, tag_of, worth):
        i = 2 * (((key >> 16) * (len(cells) // 2)) >> 16)
        if tag_of(cells[i]) == tag: return i
        if tag_of(cells[i + 1]) == tag: return i + 1
        i += worth(cells[i + 1]) < worth(cells[i])
        cells[i] = tag
        return i

    def byte(self, k, contexts):
        at = []
        for i, context in enumerate(contexts[2:]):
            key = hash(context, 77 + i)
            at.append(self.find(self.runs, key, (key & 31) << 11, lambda c: c & 0xF800, lambda c: c >> 8 & 7))
        runs = [self.runs[a] for a in at]
        node = 1
        for place in range(7, -1, -1):
            x, hs, expected = [], [], []
            for context in contexts[:2]:
                key = hash(context, node)
                h = self.find(self.hist, key, max(1, key & 255) << 8, lambda c: c & 0xFF00, lambda c: (c >> 4 & 15) + (c & 15))
                hs.append(h)
                counts = self.hist[h] & 255
                x.append(stretch(max(1, self.h_odds[counts])) if counts else 0)
            for i, run in enumerate(runs):
                r, path = run >> 8 & 7, run & 255 | 256
                e = path >> place & 1 if r and path >> (place + 1) == node else None
                expected.append(e)
                v = stretch(max(1, self.r_odds[i][r]))
                x.append(0 if e is None else v if e else -v)
            p = self.mix(k, x)
            bit = self.s.decide(p)
            self.adjust(k, x, p, bit, 14)
            for h in hs:
                counts = self.hist[h] & 255
                o = self.h_odds[counts]
                self.h_odds[counts] = o + ((65535 - o) >> 7) if bit else o - (o >> 7)
                zeros, ones = counts >> 4, counts & 15
                less = lambda c: (c + 2) // 2 if c > 2 else c
                counts = less(zeros) << 4 | min(ones + 1, 15) if bit else min(zeros + 1, 15) << 4 | less(ones)
                self.hist[h] = self.hist[h] & 0xFF00 | counts
            for i, e in enumerate(expected):
                if e is not None:
                    r = runs[i] >> 8 & 7
                    o = self.r_odds[i][r]
                    self.r_odds[i][r] = o + ((65535 - o) >> 6) if e == bit else o - (o >> 6)
            node = 2 * node + bit
        v = node & 255
        for a in at:
            run = self.runs[a]
            r, b = run >> 8 & 7, run & 255
            if r == 0: r, b = 1, v
            elif b == v: r = min(r + 1, 7)
            elif r > 2: r //= 2
            else: r, b = 1, v
            self.runs[a] = run & 0xF800 | r << 8 | b
        return v

    def literal(self, entry, at, end):
        _, start, new, source, n = entry
        A = self.w(self.old, source - (start - at), 2) if not new else 0
        b1, b2, b3, b4 = self.last.to_bytes(4, "little")
        if self.set == 1 and at & 1 == 0 and min(start, end) - at >= 2:
            place = at & 2
            v = self.byte(0, [1 << 24, 2 << 24 | b1, 3 << 24 | b1 << 8 | b2, 4 << 24 | b1 << 16 | b3 << 8,
                              5 << 24 | b4 << 9 | place << 7 | b3, 16 << 24 | A])
            low = self.byte(1, [6 << 24 | b2, 7 << 24 | v, hash(8 << 24 | v << 16 | b1 << 8 | b2, 1), hash(9 << 24 | v << 16 | b1 << 8 | b3, 1),
                                10 << 24 | v << 16 | b4 << 8 | place, hash(17 << 24 | v << 16 | A, 1)])
            return bytes([low, v])
        return bytes([self.byte(2, [11 << 24, 12 << 24 | b1, 13 << 24 | b1 << 8 | b2, 14 << 24 | b1 << 16 | b2 << 8 | b3,
                                    15 << 24 | b4 << 8 | b2, 16 << 24 | b1 << 8 | A & 255])])

    def unit(self, new, source, at, room):
        """kind, length, old value, target"""
        w = self.w(self.new if new else self.old, source, 4)
        short = (1, 2, w & 0xFFFF, 0)
        if self.set == 0 or (source | at) & 1 or room < 2: return 0, 1, w & 255, 0
        both = (source | at) & 3 == 0 and room >= 4
        if self.set == 3 and both: return 2, 4, w, 0
        if self.set != 1: return short
        if both and not new:
            o = (w - self.base) & M
            if self.pmin <= o < len(self.old) + 16: return 9, 4, w, o
            if w >> 20 == self.ram_top: return 10, 4, w, w
        half, literal = w & 0xFFFF, (source + 4) & ~3
        if half >= 0xE800:
            if room < 4: return short
            if is_branch(w): return 3 if w >> 30 & 1 else 4, 4, w, (source + 4 + branch(w)) & M
            if w & 0xD000F800 == 0x8000F000 and w & 0x380 != 0x380: return 11, 4, w, (source + 4 + conditional(w)) & M
            if w & 0xFE1F == 0xF81F:
                d = w >> 16 & 0xFFF
                return 7, 4, w, (literal + (d if w & 0x80 else -d)) & M
            if (is_movw(w) or is_movt(w)) and not new:
                for away in range(4, 15, 2):
                    x = source + (away if is_movw(w) else -away)
                    if x < 0 or x + 4 > len(self.old): break
                    o = self.w(self.old, x, 4)
                    if (is_movt(o) if is_movw(w) else is_movw(o)) and (o ^ w) & 0x0F000000 == 0:
                        low, high = (w, o) if is_movw(w) else (o, w)
                        return 8, 4, w, immediate(high) << 16 | immediate(low)
            return 2, 4, w, 0
        if half & 0xF800 in (0x4800, 0xA000): return 5, 2, half, literal + 4 * (half & 255)
        if 0xD000 <= half < 0xDE00: d = signed(half, 8) * 2
        elif half & 0xF800 == 0xE000: d = signed(half, 11) * 2
        elif half & 0xF500 == 0xB100: d = (half >> 9 & 1) << 6 | (half >> 3 & 31) << 1
        else: return short
        return 6, 2, half, (source + 4 + d) & M

    def retarget(self, kind, old, a, t):
        d, l = signed(t - (a + 4)), signed(t - ((a + 4) & ~3))
        if kind in (3, 4): return with_branch(old, d)
        if kind == 11: return with_conditional(old, d) if abs(d) < 1 << 20 else None
        if kind == 6:
            f = d >> 1
            if d & 1: return None
            if old & 0xF000 == 0xD000: return old & 0xFF00 | f & 255 if -256 <= d < 256 else None
            if old & 0xF800 == 0xE000: return 0xE000 | f & 0x7FF if -2048 <= d < 2048 else None
            return old & 0xFD07 | (f >> 5 & 1) << 9 | (f & 31) << 3 if 0 <= d < 128 else None
        if kind == 5: return old & 0xFF00 | l >> 2 if 0 <= l < 1024 and l & 3 == 0 else None
        if kind == 7: return old & 0xF000FF7F | (0x80 if l >= 0 else 0) | abs(l) << 16 if abs(l) < 4096 else None
        if kind == 8: return with_immediate(old, t & 0xFFFF if is_movw(old) else t >> 16)
        return t

    def code_shift(self, x):
        v, sure, distance = self.code.shift(x & ~1)
        if sure == 2: return v, 2
        m, m_sure, m_distance = self.map.shift(x)
        return (v, 1) if m_sure == 0 and distance < m_distance else (m, m_sure)

    def predict(self, entry, unit, source, at):
        kind, n, old, target = unit
        _, start, new, copy_source, count = entry
        own, here = (target - copy_source) & M < count, at - source
        if new:
            if kind not in (3, 4): return old, 3
            return self.retarget(kind, old, at, (target + (here if own else 0)) & M), 2
        if kind == 0: return old, 3
        if kind in (1, 2):
            v, sure, _ = self.numbers.shift(old)
            return ((old + v) & ((1 << 8 * n) - 1), 2) if sure == 2 and v else (old, 3)
        if kind == 10: v, sure = self.ram.shift(target)[:2]
        elif kind == 9: v, sure = self.code_shift(target)
        elif kind == 8:
            o = (target - self.base) & M
            if self.pmin <= o < len(self.old) + 16: v, sure = self.code_shift(o)
            elif target >> 20 == self.ram_top: v, sure = self.ram.shift(target)[:2]
            else: return old, 3
        elif own: v, sure = here, 3
        else: v, sure = self.code_shift(target)
        value = self.retarget(kind, old, at, ((old if kind == 9 else target) + v) & M)
        return (old, 0) if value is None else (value, sure)

    def copied(self, entry, at, end):
        _, start, new, copy_source, count = entry
        done = at - start
        source = copy_source + done
        room = min(count - done, end - at, (at if new else len(self.old)) - source)
        unit = self.unit(new, source, at, room)
        kind, n, old, target = unit
        expected, sure = self.predict(entry, unit, source, at)
        u = int(expected == old)
        keys = [16 * kind + 4 * sure + 2 * u + (self.history & 1), hash(64 * kind | (self.history & 31) << 1 | u, 3), hash(old, kind),
                hash(mag(self.since) << 6 | mag(done) << 2 | min(kind, 2), 5),
                hash(mag(count) << 5 | bin(self.history & 255).count("1") << 1 | u, 9), hash(self.last & 0xFFFF, kind)]
        at_flags = [128 * i + key % 128 for i, key in enumerate(keys)]
        x = [stretch(max(1, self.flags.p[a])) for a in at_flags]
        p = self.mix(16 + kind, x)
        failed = self.s.decide(p)
        self.adjust(16 + kind, x, p, failed, 15)
        for a in at_flags: self.flags.learn(a, failed)
        self.history = (2 * self.history + failed) & M
        self.since = 0 if failed else min(self.since + 1, M)
        value = self.correct(unit, source, at, expected) if failed else expected
        if not new:
            if kind in (3, 4) and failed and is_branch(value) and (value ^ old) & 0x40000000 == 0:
                v = signed(at + 4 + branch(value) - target)
                if abs(v) < 1 << 20: self.code.insert(target & ~1, v)
            elif kind == 9 and failed:
                v = signed(value - old)
                if abs(v) < 1 << 20: self.code.insert(target & ~1, v)
            elif kind == 10:
                v = signed(value - old)
                if abs(v) < 1 << 18: self.ram.insert(target, v)
        return value.to_bytes(n, "little")

    def recent_shift(self, kind, group):
        if not self.c.bit(self.s, 24 + kind): return None
        return self.recent[group][self.c.tree(self.s, 52 + 8 * group, 3)]

    def correct(self, unit, source, at, expected):
        kind, n, old, target = unit
        if expected != old and self.c.bit(self.s, kind):
            if kind in (1, 2): self.numbers.insert(old, 0)
            return old
        if kind <= 2: return self.shifted(kind, n, old, expected)
        if kind in (3, 4, 9, 10) and self.c.bit(self.s, 12 + kind):
            to = (lambda w, x: (x + 4 + branch(w)) & M) if kind in (3, 4) else (lambda w, x: w)
            group, was = int(kind == 10), to(old, source)
            v = self.recent_shift(kind, group)
            if v is not None: chosen = (was + v) & M
            else:
                e = self.c.int(self.s, 260 + 66 * {3: 0, 4: 1, 9: 2, 10: 3}[kind])
                chosen = (to(expected, at) + (e * 2 if kind in (3, 4) else e)) & M
            touch(self.recent[group], signed(chosen - was))
            return with_branch(old, signed(chosen - at - 4)) if kind in (3, 4) else chosen
        return self.rewritten(kind, n, expected)

    def shifted(self, kind, n, old, expected):
        mask, value = (1 << 8 * n) - 1, None
        near_shift, _, distance = self.numbers.shift(old)
        moved = (old + near_shift) & mask
        if kind == 1 and near_shift and moved != expected and self.c.bit(self.s, 36 + mag(distance)): value = moved
        if value is None:
            v = self.recent_shift(kind, 2 + kind)
            value = (old + v) & mask if v is not None else self.rewritten(kind, n, expected)
        v = signed(value - old, 8 * n)
        touch(self.recent[2 + kind], v)
        if kind: self.numbers.insert(old, v)
        return value

    def rewritten(self, k, n, E):
        b1, b2 = self.last & 255, self.last >> 8 & 255
        if n == 1:
            return self.byte(3, [20 << 24 | E, 12 << 24 | b1, 21 << 24 | b1 << 8 | E, 13 << 24 | b1 << 8 | b2, 22 << 24 | self.history & 7,
                                 19 << 24 | b1 << 16 | b2 << 8 | E])
        value, f = 0, 1
        for h in range(n // 2):
            e = E >> 16 * h & 0xFFFF
            if not (n == 2 or (h == 1 and f)) and self.c.bit(self.s, 92 + 4 * k + 2 * h + f): coded = e
            else:
                coded = self.half(k, h, f, e, b1, b2)
                f = 0
            value |= coded << 16 * h
            b1, b2 = coded >> 8, coded & 255
        return value

    def half(self, k, h, f, E, b1, b2):
        s, g, eh, el = 4 + 4 * min(max(k - 1, 0), 2) + 2 * h, 2 * k + h, E >> 8, E & 255
        c = self.c.bit(self.s, 140 + 4 * g + 2 * f + (self.history >> 1 & 1))
        v = eh if c else self.byte(s, [23 << 24 | eh, 2 << 24 | b1, hash(24 << 24 | E, 3), 3 << 24 | b1 << 8 | b2, 26 << 24 | eh << 8 | b1, 30 << 24 | el])
        if not c and self.c.bit(self.s, 236 + g): return v << 8 | el
        return v << 8 | self.byte(s + 1, [27 << 24 | g << 11 | c << 9 | el, 7 << 24 | v, hash(28 << 24 | E << 8 | v, g),
                                          hash(8 << 24 | v << 16 | b1 << 8 | b2, 1), 29 << 24 | v << 8 | el, 31 << 24 | b1 << 8 | el])

if __name__ == "__main__":
    if len(sys.argv) != 4: sys.exit("usage: delta.py OLD PATCH NEW: says whether PATCH makes NEW out of OLD")
    old, patch, new = (open(name, "rb").read() for name in sys.argv[1:])
    if bytes(Decoder(old, patch, len(new)).new) != new: sys.exit("the patch makes something else")
    print("same")
