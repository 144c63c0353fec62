//
// ELL header for module ELL
//

#pragma once

#include <stdint.h>

#if defined(__cplusplus)
extern "C"
{
#endif // defined(__cplusplus)

#if !defined(SWIG)
//
// Types
//

#if !defined(ELL_TensorShape)
#define ELL_TensorShape

typedef struct TensorShape
{
    int32_t rows;
    int32_t columns;
    int32_t channels;
} TensorShape;

#endif // !defined(ELL_TensorShape)

/*PROFILE*/
#if !defined(ELL_ELL_PerformanceCounters)
#define ELL_ELL_PerformanceCounters

typedef struct ELL_PerformanceCounters
{
    int32_t count;
    double totalTime;
} ELL_PerformanceCounters;

#endif // !defined(ELL_ELL_PerformanceCounters)

#if !defined(ELL_ELL_NodeInfo)
#define ELL_ELL_NodeInfo

typedef struct ELL_NodeInfo
{
    int8_t* nodeName;
    int8_t* nodeType;
    int8_t* nodeAncestor;
} ELL_NodeInfo;

#endif // !defined(ELL_ELL_NodeInfo)

/*PROFILE*/
#endif // !defined(SWIG)

//
// Functions
//

void ELL_Predict(void* context, float* input0, float* output0);

void ELL_Reset();

int32_t ELL_GetInputSize(int32_t index);

int32_t ELL_GetOutputSize(int32_t index);

int32_t ELL_GetNumNodes();

void ELL_GetInputShape(int32_t index, TensorShape* shape);

void ELL_GetOutputShape(int32_t index, TensorShape* shape);

/*PROFILE*/
ELL_PerformanceCounters* ELL_GetModelPerformanceCounters();

void ELL_ResetModelProfilingInfo();

ELL_NodeInfo* ELL_GetNodeInfo(int32_t nodeIndex);

ELL_PerformanceCounters* ELL_GetNodePerformanceCounters(int32_t nodeIndex);

void ELL_ResetNodeProfilingInfo();

void ELL_ResetNodeTypeProfilingInfo();

/*PROFILE*/
#if defined(__cplusplus)
} // extern "C"
#endif // defined(__cplusplus)

