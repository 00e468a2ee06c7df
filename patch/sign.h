/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who made a patch: a signature behind its last byte, of everything before it (ed25519). It is trusted if the public key is in the
 * trust store, a folder with files NAME.pub: /etc/sidetrack/trusted.d, or what SIDETRACK_TRUSTED names.
 *
 * A trailer is 96 bytes: "SidetrackSigned" and a NUL; version, a 32-bit little-endian number, 1; four bytes 0; the first 8 bytes of the
 * BLAKE2b-256 of the public key; the signature.
 */
#ifndef ST_PATCH_SIGN_H
#define ST_PATCH_SIGN_H

#include <stddef.h>
#include <process/process.h>

#define ST_SIGN_TRUSTED "/etc/sidetrack/trusted.d"
#define ST_SIGN_NAME_MAX 128

/**
 * st_sign_check() - is a patch signed by somebody who is trusted?
 * @image, @len: the file; anything may be in it
 * @payload_len: set to what of it is the patch, whatever is returned
 * @who: set to the name of the key in the trust store, or ""
 * @err: why not
 *
 * Return: 0; -EKEYREJECTED: it is not signed, or by a key that is not in the trust store; -EPERM, -EACCES, ...: the trust store can't
 *	be used; -EBADMSG: it was changed after it was signed, or its signature is damaged. Who applies unsigned patches does not mind
 *	the first two, but a file that was changed is not what anybody made.
 */
int st_sign_check(const void *image, size_t len, size_t *payload_len, char who[ST_SIGN_NAME_MAX], char *err);

/**
 * st_sign_generate() - make a pair of keys
 * @path: the secret one is put there, for its owner only, the public one into @path.pub; neither may be there
 *
 * Return: 0 or a negative errno.
 */
int st_sign_generate(const char *path, char *err);

/**
 * st_sign() - sign a patch; a signature that it has goes
 * @key: file with a secret key
 * @path: the patch; it is replaced at once or not at all
 *
 * Return: 0; -ENOEXEC, -EINVAL: it is no patch; -EPERM: others may read the key; -ENOKEY: it is no key; ...
 */
int st_sign(const char *key, const char *path, char *err);

#endif
