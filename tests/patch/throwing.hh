/* SPDX-License-Identifier: GPL-2.0-only */
/* What throwing.cc and its patches share, as a project's own header would. */
#include <atomic>
#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>

#define KEEP __attribute__((noipa))

/* Kinds of what source() does. */
enum { RETURNS, RUNTIME, NUMBER, TROUBLE, TEXT, WAITS, TRACES, KINDS };

/* Counts objects that live: each constructor has its destructor, whatever comes between. */
struct Witness {
	static std::atomic<long> alive;
	std::string text;
	explicit Witness(const char *text) : text(text) { alive++; }
	Witness(const Witness &w) : text(w.text) { alive++; }
	~Witness() { alive--; }
};

struct Trouble : std::exception {
	Witness w;
	int n;
	explicit Trouble(int n) : w("trouble"), n(n) {}
	const char *what() const noexcept override { return w.text.c_str(); }
};

/* Each inline variable is one in the process. */
inline std::atomic<long> troubles;

extern "C" {
long st_test_source(int kind, int n);		/* throws, waits, or looks at its callers */
long st_test_middle(int depth, int kind, int n);/* destructors run as an exception passes */
long st_test_catcher(int kind, int n);		/* catches some of them, and throws others again */
long st_test_quiet(int n) noexcept;		/* must not throw */
void st_test_wait(void);			/* until the thread is cancelled */
long st_test_traced(void);			/* does backtrace() come to main's caller of all this? */
extern std::atomic<long> st_test_patched;	/* calls of functions of a patch */
}
