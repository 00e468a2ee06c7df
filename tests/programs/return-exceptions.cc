/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions through frames: destructors, rethrown ones, caught inside and outside of what was called, by type. */
#include <cstdio>
#include <stdexcept>
#include <string>
#include "return.h"

static unsigned long sum;

struct Witness {
	int n;
	explicit Witness(int n) : n(n) { sum += 1; }
	~Witness() { sum += (unsigned long)n * 3; }
};

KEEP long thrower(int kind)
{
	if (kind % 3 == 0)
		throw std::runtime_error("runtime " + std::to_string(kind));
	if (kind % 3 == 1)
		throw kind;
	return kind;
}

KEEP long middle(int depth, int kind)
{
	Witness w(depth);

	if (!depth)
		return thrower(kind);
	return middle(depth - 1, kind) + w.n;
}

KEEP long rethrower(int kind)
{
	Witness w(kind);

	try {
		return middle(kind % 11, kind);
	} catch (const std::exception &e) {
		sum += std::string(e.what()).size();
		throw;
	} catch (int n) {
		if (n % 2)
			throw std::string("odd");
		throw;
	}
}

KEEP long translator(int kind)
{
	try {
		return rethrower(kind);
	} catch (const std::string &s) {
		return (long)s.size() + middle(4, 2);
	}
}

KEEP long nothrow_inside(int kind)
{
	try {
		return middle(3, kind);
	} catch (...) {
		return -1;
	}
}

int main(int argc, char **)
{
	return_wait(argc);
	for (int kind = 0; kind < 1000; kind++) {
		try {
			sum += (unsigned long)translator(kind);
		} catch (int n) {
			sum += (unsigned long)n;
		} catch (const std::runtime_error &e) {
			sum += (unsigned long)e.what()[0];
		}
		sum += (unsigned long)nothrow_inside(kind);
	}
	std::printf("%lu\n", sum);
	return 0;
}
