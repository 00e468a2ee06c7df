/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live patch for redis-server: PING answers "PONG from a live patch" instead of "PONG".
 *
 *	cc -shared -fPIC -O2 -nostartfiles -I include -o hello_ping.so examples/redis-hello-ping.c
 *	sidetrack patch apply -p $(pidof redis-server) --allow-unsigned hello_ping.so
 *	redis-cli ping
 *	sidetrack patch revert -p $(pidof redis-server) hello_ping
 */
#include <sidetrack/patch.h>

ST_PATCH(hello_ping, ST_INDEPENDENT);
ST_REPLACE("redis-server", "pingCommand", hello_ping);

/* Exported by redis-server (networking.c). */
struct client;
void addReplyBulkCString(struct client *c, const char *s);

void hello_ping(struct client *c)
{
	addReplyBulkCString(c, "PONG from a live patch");
}
