// SPDX-License-Identifier: GPL-2.0-or-later
/* mute - a program that never answers, whatever it is asked */
#include <unistd.h>

int main(void)
{
	return pause();
}
