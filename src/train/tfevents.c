/* TensorBoard's event files, without its libraries: frames around two small protocol buffer
 * messages.
 *
 *   frame     u64 length | u32 crc of the length | bytes | u32 crc of the bytes
 *   Event     1: double wall_time   2: int64 step   3: string file_version
 *             5: Summary            7: SessionLog {1: status, START = 1}
 *   Summary   1: Value {1: string tag, 2: float simple_value}, one for each value
 *
 * crc is CRC-32C, rotated and offset so that a crc of data that holds crcs stays a good one.
 * (tensorflow/core/util/event.proto, framework/summary.proto, lib/hash/crc32c.h) */
#include "train/int_metrics.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), four bits at a time: entry i is what i
 * becomes in four steps of the shift register. */
static uint32_t masked_crc(const void *bytes, size_t n)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const uint8_t *p = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_frame(struct mk_str *out, const struct mk_str *event)
{
    const uint64_t n = event->len;
    const uint32_t head = masked_crc(&n, sizeof n), body = masked_crc(event->data, event->len);
    mk_str_append(out, (const char *)&n, sizeof n);
    mk_str_append(out, (const char *)&head, sizeof head);
    mk_str_append(out, event->data, event->len);
    mk_str_append(out, (const char *)&body, sizeof body);
}

static void put_varint(struct mk_str *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) mk_str_addc(out, (char)(v | 0x80));
    mk_str_addc(out, (char)v);
}

static void put_key(struct mk_str *out, unsigned field, unsigned wire)
{
    put_varint(out, field << 3 | wire);
}

static void put_bytes(struct mk_str *out, unsigned field, const void *bytes, size_t n)
{
    put_key(out, field, BYTES);
    put_varint(out, n);
    mk_str_append(out, bytes, n);
}

static void put_head(struct mk_str *out, double time, uint64_t step)
{
    put_key(out, 1, FIXED64);
    mk_str_append(out, (const char *)&time, sizeof time);
    put_key(out, 2, VARINT);
    put_varint(out, step);
}

/* The second event tells a TensorBoard that is watching to forget steps from 0 on: this file
 * has them all. */
void mk_event_put_start(struct mk_str *out, double time)
{
    static const char version[] = "brain.Event:2", started[] = {1 << 3 | VARINT, 1};
    struct mk_str event = {0};
    put_head(&event, time, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    put_frame(out, &event);
    mk_str_clear(&event);
    put_head(&event, time, 0);
    put_bytes(&event, 7, started, sizeof started);
    put_frame(out, &event);
    mk_str_release(&event);
}

void mk_event_put_values(struct mk_str *out, const struct mk_line *line)
{
    struct mk_str event = {0}, summary = {0}, value = {0};
    for (size_t i = 0; i < line->n; i++) {
        const float v = (float)line->value[i];
        mk_str_clear(&value);
        put_bytes(&value, 1, line->name[i], strlen(line->name[i]));
        put_key(&value, 2, FIXED32);
        mk_str_append(&value, (const char *)&v, sizeof v);
        put_bytes(&summary, 1, value.data, value.len);
    }
    put_head(&event, line->time, line->step);
    put_bytes(&event, 5, mk_str_c(&summary), summary.len);
    put_frame(out, &event);
    mk_str_release(&event);
    mk_str_release(&summary);
    mk_str_release(&value);
}
