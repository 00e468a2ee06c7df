// SPDX-License-Identifier: GPL-2.0-only
/*
 * Histograms as text, in the layout that bpftrace has made known, and as JSON.
 */
#include <inttypes.h>
#include <string.h>
#include "hist.h"
#include "print.h"

#define BAR 52

/* 2^n, with the suffix of the power of 1024. */
static void power(char *to, size_t size, unsigned int n)
{
	static const char suffix[][2] = { "", "K", "M", "G", "T", "P", "E", "Z" };

	snprintf(to, size, "%u%s", 1u << n % 10, suffix[n / 10 % 8]);
}

static void range(char *to, size_t size, unsigned int i)
{
	char lo[16], hi[16];

	if (i == ST_HIST_NEGATIVE) {
		snprintf(to, size, "(..., 0)");
	} else if (i == ST_HIST_ZERO) {
		snprintf(to, size, "[0]");
	} else if (i == ST_HIST_ZERO + 1) {
		snprintf(to, size, "[1]");
	} else {
		power(lo, sizeof(lo), i - ST_HIST_ZERO - 1);
		power(hi, sizeof(hi), i - ST_HIST_ZERO);
		snprintf(to, size, "[%s, %s)", lo, hi);
	}
}

void st_hist_text(FILE *out, const char *name, const char *expr, const uint64_t bucket[ST_HIST_BUCKETS])
{
	unsigned int i, first = ST_HIST_FAULT, last = 0;
	uint64_t most = 1;
	char label[48];

	fprintf(out, "%s: ", name);
	st_print_safe(out, expr, strlen(expr));
	fputc('\n', out);
	for (i = 0; i < ST_HIST_FAULT; i++) {
		if (!bucket[i])
			continue;
		first = i < first ? i : first;
		last = i;
		most = bucket[i] > most ? bucket[i] : most;
	}
	for (i = first; i <= last; i++) {
		int bar = (int)((double)bucket[i] * BAR / (double)most);

		range(label, sizeof(label), i);
		fprintf(out, "%-16s %12" PRIu64 " |", label, bucket[i]);
		for (int n = 0; n < BAR; n++)
			fputc(n < bar ? '@' : ' ', out);
		fputs("|\n", out);
	}
	if (bucket[ST_HIST_FAULT])
		fprintf(out, "%-16s %12" PRIu64 "\n", "(fault)", bucket[ST_HIST_FAULT]);
}

void st_hist_json(FILE *out, const char *name, const char *expr, const uint64_t bucket[ST_HIST_BUCKETS])
{
	const char *comma = "";
	unsigned int i;

	fputs("{\"name\":", out);
	st_json_string(out, name, strlen(name));
	fputs(",\"hist\":", out);
	st_json_string(out, expr, strlen(expr));
	fputs(",\"buckets\":[", out);
	for (i = 0; i < ST_HIST_FAULT; i++) {
		unsigned int n = i - ST_HIST_ZERO - 1;

		if (!bucket[i])
			continue;
		if (i == ST_HIST_NEGATIVE)
			fprintf(out, "%s{\"min\":null,\"max\":-1", comma);
		else if (i == ST_HIST_ZERO)
			fprintf(out, "%s{\"min\":0,\"max\":0", comma);
		else
			fprintf(out, "%s{\"min\":%" PRIu64 ",\"max\":%" PRIu64, comma, (uint64_t)1 << n,
				((uint64_t)1 << n) - 1 + ((uint64_t)1 << n));
		fprintf(out, ",\"count\":%" PRIu64 "}", bucket[i]);
		comma = ",";
	}
	fprintf(out, "],\"faults\":%" PRIu64 "}\n", bucket[ST_HIST_FAULT]);
}
