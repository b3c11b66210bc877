enable f16;
struct P{
threads:u32,
h:u32,w:u32,oh:u32,ow:u32,kh:u32,kw:u32,
strideH:u32,strideW:u32,dilationH:u32,dilationW:u32,top:u32,left:u32,
c:u32,
step:u32,stride:u32,run:u32,columns:u32,
adds:u32,
low:f32,high:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f16;
alias real4=vec4<real>;
fn activated(value:vec4f)->vec4f{
var v=select(value,vec4f(p.low),value<vec4f(p.low));
v=select(v,vec4f(p.high),v>vec4f(p.high));
return v;
}
alias V=vec4f;
alias Stored=real4;
struct Weights{w:array<Stored,3*3>}
@group(0)@binding(1)var<storage,read>x:array<Stored>;
@group(0)@binding(2)var<storage,read>weights:array<Weights>;
@group(0)@binding(3)var<storage,read>bias:array<Stored>;
@group(0)@binding(4)var<storage,read>residual:array<Stored>;
@group(0)@binding(5)var<storage,read_write>y:array<Stored>;
fn put(sum:V,at:u32){
var v=sum;
if(p.adds!=0u){v+=V(residual[at]);}
y[at]=Stored(activated(v));
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let t=thread(id);
if(t>=p.threads){return;}
let c=t%p.c;
let ox=t/p.c%p.ow;
let column=t/p.c/p.ow;
let part=column%p.columns;
let image=column/p.columns;
var oy=part/p.step*p.run*p.step+part%p.step;
var at=((image*p.oh+oy)*p.ow+ox)*p.c+c;
let base=image*p.h*p.w*p.c+c;
let b=V(bias[c]);
var row=oy*p.strideH-p.top;
let left=ox*p.strideW-p.left;
let column0=left+0u*p.dilationW;
let x0=base+min(column0,p.w-1u)*p.c;
let column1=left+1u*p.dilationW;
let x1=base+min(column1,p.w-1u)*p.c;
let column2=left+2u*p.dilationW;
let x2=base+min(column2,p.w-1u)*p.c;
var s0_0=V();
let w0_0=V(weights[c].w[0*3+0]);
var s0_1=V();
let w0_1=V(weights[c].w[0*3+1]);
var s0_2=V();
let w0_2=V(weights[c].w[0*3+2]);
var s1_0=V();
let w1_0=V(weights[c].w[1*3+0]);
var s1_1=V();
let w1_1=V(weights[c].w[1*3+1]);
var s1_2=V();
let w1_2=V(weights[c].w[1*3+2]);
var s2_0=V();
let w2_0=V(weights[c].w[2*3+0]);
var s2_1=V();
let w2_1=V(weights[c].w[2*3+1]);
var s2_2=V();
let w2_2=V(weights[c].w[2*3+2]);
var next=3u-1u;
let rows=(p.run-1u)*p.stride+3u;
for(var i=0u;i<rows;i++){
let start=min(row,p.h-1u)*p.w*p.c;
let v0=select(V(),V(x[x0+start]),row<p.h&&column0<p.w);
let v1=select(V(),V(x[x1+start]),row<p.h&&column1<p.w);
let v2=select(V(),V(x[x2+start]),row<p.h&&column2<p.w);
var sum0=V();
var before0=V();
sum0=before0;
before0=s0_0;
sum0+=w0_0*v0;
s0_0=sum0;
sum0=before0;
before0=s1_0;
sum0+=w1_0*v0;
s1_0=sum0;
sum0=before0;
before0=s2_0;
sum0+=w2_0*v0;
s2_0=sum0;
var sum1=V();
var before1=V();
sum1=before1;
before1=s0_1;
sum1+=w0_1*v1;
s0_1=sum1;
sum1=before1;
before1=s1_1;
sum1+=w1_1*v1;
s1_1=sum1;
sum1=before1;
before1=s2_1;
sum1+=w2_1*v1;
s2_1=sum1;
var sum2=V();
var before2=V();
sum2=before2;
before2=s0_2;
sum2+=w0_2*v2;
s0_2=sum2;
sum2=before2;
before2=s1_2;
sum2+=w1_2*v2;
s1_2=sum2;
sum2=before2;
before2=s2_2;
sum2+=w2_2*v2;
s2_2=sum2;
row+=p.dilationH;
if(i==next){
var sum=b;
sum+=sum0;
sum+=sum1;
sum+=sum2;
if(oy<p.oh){put(sum,at);}
next+=p.stride;
oy+=p.step;
at+=p.step*p.ow*p.c;
}
}
}
