/* tests/telemetry_fixture.h - telemetry as a guard writes it: a run that gets tight, is made smaller, is stopped on battery
 * and goes on. 40 steps; the end of the first process takes two of them back. */
#ifndef ACCORD_TESTS_TELEMETRY_FIXTURE_H
#define ACCORD_TESTS_TELEMETRY_FIXTURE_H

#define TEL_BEGIN(resumed)                                                                                                \
    "{\"k\":\"begin\",\"utc\":\"2026-01-31T09:30:00Z\",\"format\":1,\"run\":\"20260131T093000Z-1a2b3c4d\",\"guard_pid\":1," \
    "\"pid\":2,\"resumed_at_step\":" #resumed ",\"total_steps\":40,\"budget_bytes\":1000,\"planned_peak_bytes\":600,"      \
    "\"micro_start\":8,\"recompute\":false,\"terms\":{\"window\":null,\"battery\":false,\"lid\":false,\"polite\":true,"    \
    "\"beside\":false},\"unknown\":{\"thermal-level\":\"not a Mac\"}}\n"
#define TEL_SAMPLE(t, level, step, durable, micro, duty, paused, foot)                                                     \
    "{\"k\":\"sample\",\"t\":" #t ",\"utc\":\"2026-01-31T09:30:01Z\",\"level\":\"" level "\",\"step\":" #step              \
    ",\"durable\":" #durable ",\"micro\":" #micro ",\"recompute\":false,\"duty\":" #duty ",\"paused\":" #paused            \
    ",\"footprint_bytes\":" #foot ",\"available_bytes\":5000,\"cpu_seconds\":" #t ",\"watts\":null,"                        \
    "\"signals\":{\"footprint\":50.5,\"available\":44,\"foreign-cpu\":3,\"trip-margin\":12},\"beside\":null,\"valid\":true}\n"

static const char tel_story[] =
    TEL_BEGIN(0)
    TEL_SAMPLE(0, "green", 0, 0, 8, 100, false, 500)
    TEL_SAMPLE(10, "green", 10, 0, 8, 100, false, 870)
    "{\"k\":\"act\",\"t\":10,\"utc\":\"2026-01-31T09:30:10Z\",\"act\":\"level\",\"arg\":1,\"from\":\"green\",\"to\":\"yellow\","
    "\"id\":0,\"level\":\"yellow\",\"cause\":\"memory\",\"rule\":0,\"signal\":\"footprint\",\"value\":87,\"limit\":85,"
    "\"text\":\"footprint 87 % of budget, limit 85: yellow\"}\n"
    "{\"k\":\"act\",\"t\":10,\"utc\":\"2026-01-31T09:30:10Z\",\"act\":\"micro-batch\",\"arg\":4,\"id\":1,\"level\":\"yellow\","
    "\"cause\":\"memory\",\"rule\":0,\"signal\":\"footprint\",\"value\":87,\"limit\":85,"
    "\"text\":\"footprint 87 % of budget, limit 85: micro-batch 4\"}\n"
    "{\"k\":\"ack\",\"t\":10.5,\"id\":1,\"ms\":500,\"step\":10,\"durable\":0,\"ok\":true,\"text\":null}\n"
    TEL_SAMPLE(11, "yellow", 10, 0, 4, 100, false, 700)
    "{\"k\":\"later\",\"what\":[1,2]}\n"
    TEL_SAMPLE(21, "yellow", 15, 0, 4, 100, false, 700)
    "{\"k\":\"act\",\"t\":21,\"utc\":\"2026-01-31T09:30:21Z\",\"act\":\"checkpoint-exit\",\"arg\":75,\"id\":2,\"level\":\"red\","
    "\"cause\":\"power\",\"rule\":25,\"signal\":\"battery\",\"value\":29,\"limit\":30,\"text\":\"battery 29 %, limit 30\"}\n"
    "{\"k\":\"ack\",\"t\":22,\"id\":2,\"ms\":1000,\"step\":16,\"durable\":14,\"ok\":true,\"text\":null}\n"
    "{\"k\":\"end\",\"t\":23,\"utc\":\"2026-01-31T09:30:23Z\",\"exit\":75,\"signal\":null,\"step\":16,\"durable\":14,"
    "\"seconds\":{\"green\":10,\"yellow\":13,\"red\":0,\"emergency\":0,\"paused\":0,\"slept\":0},"
    "\"guard\":{\"cpu_seconds\":0.1,\"peak_rss_bytes\":3800000},\"void\":[\"it was yellow for 13 s\"]}\n"
    TEL_BEGIN(14)
    TEL_SAMPLE(0, "green", 14, 14, 8, 100, false, 500)
    TEL_SAMPLE(10, "green", 24, 14, 8, 100, true, 500)
    TEL_SAMPLE(20, "green", 24, 14, 8, 100, false, 500)
    TEL_SAMPLE(36, "green", 40, 40, 8, 100, false, 600)
    "{\"k\":\"end\",\"t\":37,\"utc\":\"2026-01-31T09:40:37Z\",\"exit\":0,\"signal\":null,\"step\":40,\"durable\":40,"
    "\"seconds\":{\"green\":37,\"yellow\":0,\"red\":0,\"emergency\":0,\"paused\":10,\"slept\":0},"
    "\"guard\":{\"cpu_seconds\":0.1,\"peak_rss_bytes\":3800000},\"void\":[\"it was paused for 10 s\"]}\n";

#endif
