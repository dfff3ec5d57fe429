// SPDX-License-Identifier: GPL-2.0-or-later
/* Keys and values as they are read and written: xattrs, policy file and mount options share them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "policy/field.h"
#include "policy/images.h"
#include "policy/settings.h"
#include "policy/util.h"

/* What is set is printed as PRINTED; NULL: it is refused. */
static void check(const char *key, const char *value, const char *printed)
{
	struct settings s = settings_default, before = s;
	struct settings_error err = {""};
	char buf[SETTINGS_VALUE_MAX];
	int r = settings_set_named(&s, key, value, FROM_FILE, &err);

	if (!printed) {
		assert_int_equal(r, -EINVAL);
		assert_memory_equal(&s, &before, sizeof(s));
		assert_non_null(strstr(err.text, key));
		return;
	}
	assert_int_equal(r, 0);
	assert_string_equal(settings_print(&s, settings_key(key), buf), printed);
	assert_int_equal(s.from[settings_key(key)], FROM_FILE);
}

static void test_values(void **state)
{
	static const char *const modes[] = {"none",	    "directsync", "writeback", "dontcache",
					    "writethrough", "unsafe",	  "auto"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		check("cache", modes[i], modes[i]);
	check("cache", "None", NULL);
	check("cache", "", NULL);
	check("cache", "none ", NULL);

	check("checksum", "off", "off");
	check("checksum", "xxh3", "xxh3");
	check("checksum", "crc32c", NULL);

	check("dirty-limit", "64M", "64M");
	check("dirty-limit", "1g", "1G");
	check("dirty-limit", "2048K", "2M");
	check("dirty-limit", "1048577", "1048577");
	check("dirty-limit", "1023K", NULL);
	check("dirty-limit", "-1", NULL);
	check("dirty-limit", " 64M", NULL);
	check("dirty-limit", "64MB", NULL);
	check("dirty-limit", "64Q", NULL);
	check("dirty-limit", "M", NULL);
	check("dirty-limit", "99999999T", NULL);
	check("dirty-limit", "99999999999999999999", NULL);

	check("block-size", "512", "512");
	check("block-size", "4K", "4096");
	check("block-size", "256", NULL);
	check("block-size", "520", NULL);
	check("block-size", "8192", NULL);

	check("detect-zeroes", "unmap", "unmap");
	check("checksum-errors", "report", "report");
	check("foreign-change", "refuse", "refuse");
	check("foreign-change", "refuse-all", NULL);
}

/* An xattr's value is bytes: neither terminated nor harmless. */
static void test_bytes(void **state)
{
	struct settings s = settings_default;
	struct settings_error err;

	(void)state;
	assert_int_equal(settings_set(&s, SETTING_CACHE, "unsafer", 6, FROM_FILE, NULL), 0);
	assert_int_equal(s.value[SETTING_CACHE], CACHE_UNSAFE);
	assert_int_equal(settings_set(&s, SETTING_CACHE, "none\0x", 6, FROM_FILE, NULL), -EINVAL);
	assert_int_equal(settings_set(&s, SETTING_CACHE, "none", 0, FROM_FILE, NULL), -EINVAL);

	assert_int_equal(settings_set(&s, SETTING_CACHE, "a\n\x1b[2J", 6, FROM_FILE, &err),
			 -EINVAL);
	assert_string_equal(err.text,
			    "bad value \"a??[2J\" for cache, good ones: none directsync writeback "
			    "dontcache writethrough unsafe auto");
	assert_int_equal(settings_set_named(&s, "colour", "red", FROM_MOUNT, &err), -ENOENT);
	assert_string_equal(err.text,
			    "unknown key \"colour\", good ones: cache checksum dirty-limit "
			    "block-size detect-zeroes checksum-errors foreign-change");
}

static void test_effective(void **state)
{
	struct settings s = settings_default;
	char buf[256];
	int len;

	(void)state;
	settings_set_named(&s, "checksum", "xxh3", FROM_DIRECTORY, NULL);
	settings_set_named(&s, "cache", "none", FROM_MOUNT, NULL);
	len = settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=none (mount) checksum=xxh3 (directory)");
	assert_int_equal(len, strlen(buf));

	settings_set_named(&s, "dirty-limit", "16M", FROM_POLICY, NULL);
	settings_set_named(&s, "foreign-change", "verify", FROM_FILE, NULL);
	settings_effective(&s, buf, sizeof(buf));
	assert_string_equal(buf, "cache=none (mount) checksum=xxh3 (directory) "
				 "dirty-limit=16M (policy) foreign-change=verify (file)");

	/* Asked for its length first, as getxattr(2) is. */
	assert_int_equal(settings_effective(&s, NULL, 0), strlen(buf));
	memset(buf, 'x', sizeof(buf));
	settings_effective(&s, buf, 10);
	assert_string_equal(buf, "cache=non");
	assert_int_equal(buf[10], 'x');
}

static void test_merge(void **state)
{
	struct settings s = {0}, weaker = {0};

	(void)state;
	settings_set_named(&s, "cache", "none", FROM_FILE, NULL);
	settings_set_named(&weaker, "cache", "unsafe", FROM_MOUNT, NULL);
	settings_set_named(&weaker, "block-size", "4096", FROM_MOUNT, NULL);
	settings_merge(&s, &weaker);
	settings_merge(&s, &settings_default);
	assert_int_equal(s.value[SETTING_CACHE], CACHE_NONE);
	assert_int_equal(s.from[SETTING_CACHE], FROM_FILE);
	assert_int_equal(s.value[SETTING_BLOCK_SIZE], 4096);
	assert_int_equal(s.from[SETTING_BLOCK_SIZE], FROM_MOUNT);
	assert_int_equal(s.value[SETTING_DIRTY_LIMIT], 64 << 20);
	for (int i = 0; i < SETTINGS; i++)
		assert_int_not_equal(s.from[i], FROM_UNSET);
}

static void test_images(void **state)
{
	(void)state;
	assert_true(images_match(IMAGES_DEFAULT, "root.img"));
	assert_true(images_match(IMAGES_DEFAULT, "vm-100-disk-0.raw"));
	assert_true(images_match(IMAGES_DEFAULT, "a.qcow2"));
	assert_false(images_match(IMAGES_DEFAULT, "root.img.bak"));
	assert_false(images_match(IMAGES_DEFAULT, "img"));
	assert_false(images_match("", "root.img"));
	assert_true(images_match("::disk[0-9]:", "disk7"));
	assert_false(images_match("disk[0-9]", "disk"));
}

/* In the lines of user.bouncefs.status. */
static void test_fields(void **state)
{
	char buf[64];

	(void)state;
	assert_int_equal(field_escape("a b\\c\n\x7f\xc3\xbc", buf, sizeof(buf)), 21);
	assert_string_equal(buf, "a\\040b\\134c\\012\\177\xc3\xbc");
	field_unescape(buf);
	assert_string_equal(buf, "a b\\c\n\x7f\xc3\xbc");
	assert_int_equal(field_escape("a b", buf, 4), 6);
	assert_string_equal(buf, "a\\0");
	assert_int_equal(field_escape("a b", NULL, 0), 6);
	strcpy(buf, "\\04 \\999 \\");
	field_unescape(buf);
	assert_string_equal(buf, "\\04 \\999 \\");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	  cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_effective), cmocka_unit_test(test_merge),
		cmocka_unit_test(test_images),	  cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
