/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory for shadow variables (agent/shadow.h) in a process: address space that becomes memory where it is touched. So the agent never
 * asks for more, which it may not be allowed to.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <agent/shadow.h>
#include <process/blob.h>
#include <process/session_internal.h>

/* On 32 bits out of the way of what has to be near code, as the agent is. */
static unsigned long hint(struct st_session *s, unsigned long size)
{
	struct st_maps *maps;
	unsigned long at = 0;

	if (sizeof(long) == 8 || st_maps_read(s->proc, &maps, NULL))
		return 0;
	if (st_maps_gap(maps, size, 1ul << 30, 0, 0, &at, NULL))
		at = 0;
	st_maps_free(maps);
	return at;
}

/* Memory of a process that has locked all it has and will have (mlockall) would be there at once, all of it. */
static int map(struct st_session *s, struct st_remote *r, unsigned long size, unsigned long *at)
{
	unsigned long args[6] = { 0, size };
	long got;
	int ret;

	*at = hint(s, size);
	ret = st_remote_mmap(r, at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ret)
		return ret;
	args[0] = *at;
	ret = st_remote_syscall(r, &got, __NR_munlock, args) ?: st_remote_mprotect(r, *at, size, PROT_READ | PROT_WRITE);
	if (ret)
		st_remote_munmap(r, *at, size);
	return ret;
}

int st_session_shadow(struct st_session *s, struct st_remote *r)
{
	unsigned long var, at = 0, size = ST_SHADOW_MAX;
	struct st_shadow_area head = { 0 };
	int ret = st_session_agent_symbol(s, "st_shadow_area", &var);

	if (ret)
		return st_session_fail(s, ret, "the agent lacks the symbol st_shadow_area");
	ret = st_mem_read(s->proc, var, &at, sizeof(at));
	if (!ret && at)
		return 0;
	/* With less of it if the process may not have that much (RLIMIT_AS). */
	while (!ret && (ret = map(s, r, size, &at)) == -ENOMEM && size > ST_SHADOW_MIN) {
		size /= 2;
		ret = 0;
	}
	if (ret)
		return st_session_fail(s, ret, "the process can't map memory for shadow variables: %s", strerror(-ret));
	st_shadow_head(&head, size);
	ret = st_mem_write(s->proc, at, &head, sizeof(head));
	if (ret)
		st_session_fail(s, ret, "can't write the memory of shadow variables: %s", strerror(-ret));
	else
		ret = st_session_add_region(s, ST_REGION_SHADOW, at, size);
	if (ret < 0) {
		st_remote_munmap(r, at, size);
		return ret;
	}
	ret = st_mem_write(s->proc, var, &at, sizeof(at));
	return ret ? st_session_fail(s, ret, "can't write the agent's memory: %s", strerror(-ret)) : 0;
}

size_t st_session_shadow_code(struct st_session *s, struct st_range code[ST_SHADOW_CODE])
{
	static const char *const name[ST_SHADOW_CODE] = { "st_shadow_create", "st_shadow_destroy" };
	bool used = false;
	size_t n = 0;

	for (int i = 0; i < ST_REGIONS_MAX; i++)
		used |= s->ctl->region[i].kind == ST_REGION_SHADOW;
	for (size_t i = 0; used && i < ST_SHADOW_CODE; i++) {
		unsigned long at, there, size;

		if (st_image_function(st_agent_blob, st_agent_blob_size, 0, name[i], &at, &size) ||
		    st_session_agent_symbol(s, name[i], &there))
			continue;
		there &= ~(unsigned long)(sizeof(long) == 4);	/* Thumb bit */
		code[n++] = (struct st_range){ there, there + size };
	}
	return n;
}
