/* SPDX-License-Identifier: GPL-2.0-only */
/* See sign.h. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <patch/files.h>
#include <patch/internal.h>
#include <patch/sign.h>

#define MAGIC "SidetrackSigned"		/* 16 bytes with its NUL */
#define KEY_ID 8
#define SECRET_HEAD "sidetrack secret key 1\n"
#define PUBLIC_HEAD "sidetrack public key 1\n"
#define KEY_FILE_MAX 512
/* How far from its place a trailer is looked for, to tell a damaged one from none. */
#define AROUND 4096

struct trailer {
	char magic[16];
	uint32_t version, zero;
	uint8_t key_id[KEY_ID];
	uint8_t signature[crypto_sign_BYTES];
};
_Static_assert(sizeof(struct trailer) == 96, "");

static void id_of(const uint8_t key[crypto_sign_PUBLICKEYBYTES], uint8_t id[KEY_ID])
{
	uint8_t sum[32];

	crypto_generichash(sum, sizeof(sum), key, crypto_sign_PUBLICKEYBYTES, NULL, 0);
	memcpy(id, sum, KEY_ID);
}

/* Return: 1 there is one, 0 there is none, -EBADMSG. */
static int find_trailer(const uint8_t *image, size_t len, struct trailer *t, char *err)
{
	size_t from = len > AROUND ? len - AROUND : 0;
	const uint8_t *magic = NULL;

	if (len > sizeof(*t)) {
		memcpy(t, image + len - sizeof(*t), sizeof(*t));
		if (!memcmp(t->magic, MAGIC, sizeof(t->magic))) {
			if (le32toh(t->version) == 1 && !t->zero)
				return 1;
			return st_patch_fail(err, -EBADMSG, "its signature is damaged, or of a later version of sidetrack: it has version %u",
					     le32toh(t->version));
		}
	}
	for (; from + sizeof(t->magic) <= len && !magic; from++)
		if (!memcmp(image + from, MAGIC, sizeof(t->magic)))
			magic = image + from;
	if (!magic)
		return 0;
	return st_patch_fail(err, -EBADMSG, "its signature is damaged: something was cut off the end of the file, or added to it");
}

/* ---- keys ---- */

/* The 32 bytes of a key file. */
static int read_key(int dir, const char *path, const char *name, const char *head, mode_t others, uint8_t key[32], char *err)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), ret = 0;
	char text[KEY_FILE_MAX + 1];
	struct stat st;
	ssize_t n;
	size_t bin = 0;
	const char *end = NULL;

	if (fd < 0 || fstat(fd, &st)) {
		ret = st_patch_fail(err, -errno, "can't open the key %.120s: %s", name, strerror(errno));
	} else if (st.st_mode & others) {
		ret = st_patch_fail(err, -EPERM, "the key %.120s may be %s by others than its owner: chmod %s it", name,
				    others & S_IROTH ? "read" : "written", others & S_IROTH ? "600" : "go-w");
	} else if (st.st_uid && st.st_uid != geteuid()) {
		ret = st_patch_fail(err, -EPERM, "the key %.120s belongs to another user (%u): it has to be root's, or yours", name,
				    (unsigned int)st.st_uid);
	} else {
		n = S_ISREG(st.st_mode) ? read(fd, text, KEY_FILE_MAX) : -1;
		text[n < 0 ? 0 : n] = '\0';
		if (strncmp(text, head, strlen(head)) || sodium_hex2bin(key, 32, text + strlen(head), strlen(text + strlen(head)), NULL, &bin, &end) ||
		    bin != 32 || strcmp(end, "\n"))
			ret = st_patch_fail(err, -ENOKEY, "%.120s is no %.*s of sidetrack, or is damaged", name, (int)strlen(head) - 13, head + 10);
		sodium_memzero(text, sizeof(text));
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static int write_key(const char *path, const char *head, mode_t mode, const uint8_t key[32], char *err)
{
	char text[KEY_FILE_MAX], hex[2 * 32 + 1];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), ret = 0, n;

	if (fd < 0)
		return st_patch_fail(err, -errno, "can't make the key file %.120s: %s", path, strerror(errno));
	n = snprintf(text, sizeof(text), "%s%s\n", head, sodium_bin2hex(hex, sizeof(hex), key, 32));
	if (fchmod(fd, mode) || write(fd, text, (size_t)n) != n || fsync(fd)) {
		ret = st_patch_fail(err, -errno, "can't write the key file %.120s: %s", path, strerror(errno));
		unlink(path);
	}
	close(fd);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(hex, sizeof(hex));
	return ret;
}

int st_sign_generate(const char *path, char *err)
{
	uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES], seed[crypto_sign_SEEDBYTES];
	char public_path[PATH_MAX];
	int ret;

	if (sodium_init() < 0)
		return st_patch_fail(err, -EIO, "the crypto library can't be used (libsodium)");
	if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= (int)sizeof(public_path))
		return st_patch_fail(err, -ENAMETOOLONG, "the name of the key file is too long");
	randombytes_buf(seed, sizeof(seed));
	crypto_sign_seed_keypair(public, secret, seed);
	ret = write_key(path, SECRET_HEAD, 0600, seed, err);
	if (!ret) {
		ret = write_key(public_path, PUBLIC_HEAD, 0644, public, err);
		if (ret)
			unlink(path);
	}
	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(secret, sizeof(secret));
	return ret;
}

/* ---- the trust store ---- */

static const char *store_path(void)
{
	const char *path = getenv("SIDETRACK_TRUSTED");

	return path && *path ? path : ST_SIGN_TRUSTED;
}

/* A folder in which somebody else could put keys is none. */
static int open_store(DIR **store, char *err)
{
	const char *path = store_path();
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*store = NULL;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return st_patch_fail(err, -errno, "the folder of trusted keys, %.120s, can't be read: %s", path, strerror(errno));
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH) || (st.st_uid && st.st_uid != geteuid())) {
		close(fd);
		return st_patch_fail(err, -EPERM, "the folder of trusted keys, %.120s, may be changed by others: it has to be root's or yours, and "
				     "writable for its owner only", path);
	}
	*store = fdopendir(fd);
	if (!*store)
		close(fd);
	return *store ? 0 : st_patch_fail(err, -ENOMEM, "out of memory");
}

/* The trusted key with this id. Return: 0, -EKEYREJECTED there is none, or why not. */
static int find_key(const uint8_t id[KEY_ID], uint8_t key[32], char who[ST_SIGN_NAME_MAX], char *err)
{
	int ret, keys = 0, bad = 0;
	char hex[2 * KEY_ID + 1];
	struct dirent *d;
	DIR *store;

	ret = open_store(&store, err);
	if (ret)
		return ret;
	ret = -EKEYREJECTED;
	while (store && ret && (d = readdir(store))) {
		size_t n = strlen(d->d_name);
		uint8_t is[KEY_ID];
		int one;

		if (d->d_name[0] == '.' || n < 5 || n >= ST_SIGN_NAME_MAX || strcmp(d->d_name + n - 4, ".pub"))
			continue;
		keys++;
		one = read_key(dirfd(store), d->d_name, d->d_name, PUBLIC_HEAD, S_IWGRP | S_IWOTH, key, err);
		if (one) {
			bad = one;
			continue;
		}
		id_of(key, is);
		if (memcmp(is, id, KEY_ID))
			continue;
		memcpy(who, d->d_name, n - 4);
		who[n - 4] = '\0';
		ret = 0;
	}
	if (store)
		closedir(store);
	if (!ret || bad)	/* err is about the bad one */
		return ret ? bad : 0;
	return st_patch_fail(err, ret, "it is signed by a key that is not trusted (%s): %.120s has %s", sodium_bin2hex(hex, sizeof(hex), id, KEY_ID),
			     store_path(), keys ? "other keys only" : "no keys");
}

int st_sign_check(const void *image, size_t len, size_t *payload_len, char who[ST_SIGN_NAME_MAX], char *err)
{
	uint8_t key[crypto_sign_PUBLICKEYBYTES];
	struct trailer t;
	int ret;

	*payload_len = len;
	*who = '\0';
	if (sodium_init() < 0)
		return st_patch_fail(err, -EIO, "the crypto library can't be used (libsodium)");
	ret = find_trailer(image, len, &t, err);
	if (ret < 0)
		return ret;
	if (!ret)
		return st_patch_fail(err, -EKEYREJECTED, "it is not signed (sidetrack patch sign)");
	*payload_len = len - sizeof(t);
	ret = find_key(t.key_id, key, who, err);
	if (!ret && crypto_sign_verify_detached(t.signature, image, *payload_len, key)) {
		ret = st_patch_fail(err, -EBADMSG, "the signature of %s does not fit: the file was changed after it was signed", who);
		*who = '\0';
	}
	return ret;
}

int st_sign(const char *key, const char *path, char *err)
{
	uint8_t seed[crypto_sign_SEEDBYTES], public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	struct trailer t = { .magic = MAGIC, .version = htole32(1) };
	struct st_manifest *m = calloc(1, sizeof(*m));
	char why[ST_ERR_MAX];
	void *image = NULL;
	size_t len = 0;
	int ret;

	if (!m || sodium_init() < 0) {
		free(m);
		return st_patch_fail(err, -EIO, "the crypto library can't be used (libsodium), or there is no memory");
	}
	ret = read_key(AT_FDCWD, key, key, SECRET_HEAD, S_IRWXG | S_IRWXO, seed, err) ?: st_file_read(path, &image, &len, err);
	if (!ret) {
		struct trailer old;

		/* One that is damaged has to be looked at, not covered. */
		ret = find_trailer(image, len, &old, why);
		if (ret > 0)
			len -= sizeof(old);
		ret = ret < 0 ? ret : st_manifest_read(image, len, m, why);
		if (ret)
			st_patch_fail(err, ret, "%.80s is not signed: %.160s", path, why);
	}
	if (!ret) {
		st_manifest_free(m);
		crypto_sign_seed_keypair(public, secret, seed);
		id_of(public, t.key_id);
		crypto_sign_detached(t.signature, NULL, image, len, secret);
		ret = st_file_replace(path, path, image, len, &t, sizeof(t), err);
		sodium_memzero(secret, sizeof(secret));
	}
	sodium_memzero(seed, sizeof(seed));
	free(m);
	free(image);
	return ret;
}
