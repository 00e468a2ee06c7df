// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the verbs share: sentences to stderr, options, signals, the end of stdout.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <probe/print.h>
#include "cli.h"

static void say(const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	fflush(stdout);		/* in order, where both go to one place */
	fprintf(stderr, "sidetrack: ");
	st_print_safe(stderr, text, strlen(text));
	fputc('\n', stderr);
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int cli_failed(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return error == -EBUSY || error == -EAGAIN ? CLI_BUSY : CLI_FAILED;
}

int cli_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "'sidetrack --help' and 'sidetrack help VERB' show how it is used.\n");
	return CLI_USAGE;
}

void cli_options_begin(void)
{
	optind = 0;	/* GNU: forget what was parsed before */
	opterr = 0;
}

int cli_bad_option(int argc, char **argv)
{
	const char *arg = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (optopt && optopt < 256 && arg[0] == '-' && arg[1] != '-')
		return cli_usage("%s: -%c is not known, or lacks its value", argv[0], optopt);
	return cli_usage("%s: %s is not known, or lacks its value", argv[0], arg);
}

int cli_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || *end || pid <= 0 || pid > INT32_MAX) {
		cli_usage("'%s' is not a process id", text);
		return 0;
	}
	return (int)pid;
}

bool cli_count(const char *text, const char *what, uint64_t *n)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || !v || *text == '-') {
		cli_usage("%s must be a number from 1, not '%s'", what, text);
		return false;
	}
	*n = v;
	return true;
}

bool cli_time(const char *text, const char *what, unsigned int *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "min", 60000 }, { "h", 3600000 } };
	char *end;
	double v = strtod(text, &end);

	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit) && v >= 0 && v * units[i].ms <= INT32_MAX) {
			*ms = (unsigned int)(v * units[i].ms);
			return true;
		}
	cli_usage("%s must be a time (10s, 500ms, 1m), not '%s'", what, text);
	return false;
}

static void end_signals(sigset_t *set)
{
	struct sigaction hup;

	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	/*
	 * Under nohup it is ignored. A blocked signal would be queued all the same (sig_ignored()
	 * in the kernel).
	 */
	if (sigaction(SIGHUP, NULL, &hup) || hup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
}

void cli_hold_signals(void)
{
	sigset_t set;

	end_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int last_signal;

int cli_signal_pending(void)
{
	const struct timespec none = { 0 };
	sigset_t set;
	int sig;

	end_signals(&set);
	sig = sigtimedwait(&set, NULL, &none);
	if (sig > 0)
		last_signal = sig;
	return sig > 0 ? sig : 0;
}

bool cli_signalled(void)
{
	sigset_t set, pending;

	end_signals(&set);
	return last_signal || (!sigpending(&pending) && !sigandset(&pending, &pending, &set) && !sigisemptyset(&pending));
}

bool cli_flush(int *status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return true;
	if (errno == EPIPE) {
		*status = CLI_DONE;
	} else {
		cli_say("the output can't be written: %s", strerror(errno));
		*status = CLI_FAILED;
	}
	return false;
}

bool cli_glob_match(const char *glob, const char *object, const char *function)
{
	const char *colon = strchr(glob, ':');
	char left[256];

	if (!colon)
		return !fnmatch(glob, function, 0);
	if ((size_t)(colon - glob) >= sizeof(left))
		return false;
	memcpy(left, glob, (size_t)(colon - glob));
	left[colon - glob] = '\0';
	return !fnmatch(left, object, 0) && !fnmatch(colon + 1, function, 0);
}

void cli_word(FILE *out, const char *text)
{
	size_t n;

	if (!*text)
		fputc('-', out);
	for (; *text; text += n) {
		n = strcspn(text, " ");
		st_print_safe(out, text, n);
		if (text[n] == ' ') {
			fputs("\\x20", out);
			n++;
		}
	}
}
