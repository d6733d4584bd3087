//go:build cgo && openblas && linux

package blas

/*
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <features.h>
#include <malloc.h>
#include <pthread.h>

// Exported by a build of OpenBLAS with threads; weak, so that one without links too.
extern void openblas_set_num_threads(int n);
extern int blas_thread_shutdown_(void) __attribute__((weak));
extern void blas_shutdown(void) __attribute__((weak));

// A limit on address space (ulimit -v) counts what is reserved, used or not: for each thread 8 MB of stack and 64 MB of
// malloc's own arena, and 128 MB for each of the threads that OpenBLAS starts while it is loaded, which nobody uses
// (see openblas.go). That would be gigabytes on a machine of many cores. C code here is OpenBLAS alone, which needs
// kilobytes of stack and calls malloc next to never.
//
// This runs before Go starts its threads and takes memory, and before anything multiplies. Never later, nor twice: what
// blas_shutdown has unmapped it would unmap again, whoever has it then.
static void __attribute__((constructor)) little_address_space(void) {
	openblas_set_num_threads(1);
	if (blas_thread_shutdown_ && blas_shutdown) {
		blas_thread_shutdown_();
		blas_shutdown(); // what the threads had reserved
	}
#ifdef __GLIBC__
	pthread_attr_t a;
	mallopt(M_ARENA_MAX, 1);
	if (pthread_attr_init(&a) == 0) {
		if (pthread_attr_setstacksize(&a, 1 << 20) == 0) pthread_setattr_default_np(&a);
		pthread_attr_destroy(&a);
	}
#endif
}
*/
import "C"
