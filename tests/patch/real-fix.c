/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patches for stock Debian programs, each of a function and of one that it calls. Old caller and new callee, or the other way round, give
 * an answer that is neither the old one nor the new one, or a crash. Chosen by -D.
 */
#include <sidetrack/patch.h>

#ifdef REDIS
/* STRLEN of five bytes: 5; with the patch 1000 + 5 + 7. */
struct client {
	char before[0x50];
	struct object **argv;
};
struct object;

ST_PATCH(real_redis, ST_PER_THREAD);
ST_REPLACE("redis-server", "strlenCommand", new_strlen);
ST_REPLACE("redis-server", "stringObjectLen", new_length);

extern struct object *lookupKeyRead(void *db, struct object *key);
extern void addReplyLongLong(struct client *c, long long n);
extern unsigned long stringObjectLen(struct object *o);

struct database_of {
	char before[0x20];
	void *db;
};

unsigned long new_length(struct object *o)
{
	const unsigned char *data = *(const unsigned char **)((char *)o + 8);

	/* an sds of type 8, which a short string has */
	return data[-3] + 7ul;
}

void new_strlen(struct client *c)
{
	struct object *o = lookupKeyRead(((struct database_of *)c)->db, c->argv[1]);

	addReplyLongLong(c, o ? 1000 + (long long)stringObjectLen(o) : 0);
}
#endif

#ifdef NGINX
/* $arg_NAME without its first character. */
struct str {
	unsigned long len;
	unsigned char *data;
};

struct request {
	char before[0x400];
	struct str args;
};

ST_PATCH(real_nginx, ST_PER_THREAD);
ST_REPLACE("nginx", "ngx_http_arg", new_arg);
ST_REPLACE("nginx", "ngx_strlcasestrn", new_find);

extern unsigned char *ngx_strlcasestrn(unsigned char *from, unsigned char *last, unsigned char *what, unsigned long n);

static int lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* @n is one less than the length of @what. New: the place behind the first character. */
unsigned char *new_find(unsigned char *from, unsigned char *last, unsigned char *what, unsigned long n)
{
	for (; from + n <= last; from++) {
		unsigned long i = 0;

		while (i <= n && lower(from[i]) == lower(what[i]))
			i++;
		if (i > n)
			return from + 1;
	}
	return 0;
}

long new_arg(struct request *r, unsigned char *name, unsigned long len, struct str *value)
{
	unsigned char *p = r->args.data, *last = p + r->args.len;

	while (r->args.len && p < last) {
		p = ngx_strlcasestrn(p, last - 1, name, len - 1);
		if (!p)
			break;
		p--;
		if ((p == r->args.data || p[-1] == '&') && p[len] == '=') {
			value->data = p + len + 2;
			for (p = value->data; p < last && *p != '&'; p++)
				;
			value->len = (unsigned long)(p - value->data);
			return 0;
		}
		p++;
	}
	return -5;
}
#endif

#ifdef PYTHON
/* float("1.5"): 1.5; with the patch 1000 + 100 + 1.5. Of numbers it reads only those of the test. */
ST_PATCH(real_python, ST_PER_THREAD);
ST_REPLACE("python3.11", "PyOS_string_to_double", new_to_double);
ST_REPLACE("python3.11", "_Py_dg_strtod", new_strtod);

extern double _Py_dg_strtod(const char *s, char **end);

double new_strtod(const char *s, char **end)
{
	double value = 0, unit = 1;

	for (; *s >= '0' && *s <= '9'; s++)
		value = value * 10 + (*s - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++)
			value += (*s - '0') * (unit /= 10);
	*end = (char *)s;
	return value + 100;
}

double new_to_double(const char *s, char **end, void *overflow)
{
	(void)overflow;
	return _Py_dg_strtod(s, end) + 1000;
}
#endif

#ifdef MEMCACHED
/*
 * What one of libevent's functions hands to the other is marked: the old one would crash on the mark, and the new one ends the server
 * without it. The layout is that of event2/event_struct.h. `stats` says the version.
 */
struct base;
struct event {
	void *active[2];
	short flags;
	unsigned char pri, closure;
	unsigned long callback;
	void *arg;
	union {
		void *next[2];
		int heap;
	} timeout_pos;
	int fd;
	struct base *base;
	void *io_next[2];
	long io_timeout[2];
	short events, res;
	long timeout[2];
};
_Static_assert(sizeof(struct event) == 128, "libevent's struct event");

#define MARK (1ul << 63)
#define LIBEVENT "libevent-2.1.so.7.0.1"

ST_PATCH(real_memcached, ST_PER_THREAD);
ST_REPLACE(LIBEVENT, "event_set", new_set);
ST_REPLACE(LIBEVENT, "event_assign", new_assign);
ST_REPLACE(LIBEVENT, "event_get_version", new_version);

extern int event_assign(struct event *ev, struct base *base, int fd, short events, unsigned long callback, void *arg);

const char *new_version(void)
{
	return "patched";
}

int new_assign(struct event *ev, struct base *base, int fd, short events, unsigned long callback, void *arg)
{
	if (!(callback & MARK))
		return -1;
	ev->base = base;
	ev->callback = callback & ~MARK;
	ev->arg = arg;
	ev->fd = fd;
	ev->events = events;
	ev->res = 0;
	ev->flags = 0x80;	/* EVLIST_INIT */
	ev->closure = events & 0x10 ? 2 : 0;	/* EV_PERSIST */
	ev->io_timeout[0] = ev->io_timeout[1] = 0;
	ev->timeout_pos.heap = -1;
	ev->pri = 0;
	return 0;
}

/* memcached calls event_base_set() next. */
void new_set(struct event *ev, int fd, short events, unsigned long callback, void *arg)
{
	if (event_assign(ev, 0, fd, events, callback | MARK, arg))
		__builtin_trap();
}
#endif

#ifdef LIBRARIES
/* As real-libraries.c has it: both functions of each library, or none. */
ST_PATCH(real_libraries, ST_PER_THREAD);
ST_REPLACE("libz.so.1", "uncompress", new_uncompress);
ST_REPLACE("libz.so.1", "uncompress2", new_uncompress2);
ST_REPLACE("libcrypto.so.3", "OBJ_txt2nid", new_txt2nid);
ST_REPLACE("libcrypto.so.3", "OBJ_obj2nid", new_obj2nid);

extern int uncompress2(void *to, unsigned long *to_len, const void *from, unsigned long *from_len);
extern int OBJ_obj2nid(const void *o);

int new_uncompress2(void *to, unsigned long *to_len, const void *from, unsigned long *from_len)
{
	(void)to, (void)to_len, (void)from, (void)from_len;
	return 7;
}

int new_uncompress(void *to, unsigned long *to_len, const void *from, unsigned long from_len)
{
	return uncompress2(to, to_len, from, &from_len) + 100;
}

int new_obj2nid(const void *o)
{
	(void)o;
	return 7000;
}

int new_txt2nid(const char *text)
{
	(void)text;
	return OBJ_obj2nid(0) + 100000;
}
#endif
