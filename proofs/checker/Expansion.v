(** * Networks layer by layer

    - [layer]: the operators of a network in normal form, with numbers on the checker's grid: what
      is added up is one layer, with all its parts;
    - [expand]: a list of layers to a [cnet], unit by unit, in the order in which a runtime holds
      tensors; a layer reads earlier layers by their numbers;
    - [convolution_expanded]: the units of a convolution stand for those of
      operations/Convolution.v, hence for the textbook sums.

    Rests on Annotation.v and Convolution.v. Stands behind reading.py and layers.py. *)

From Coq Require Import Reals ZArith List Arith.
From Lastbit Require Import Statement operations.Convolution.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
Import ListNotations.

(** Weights row by row, [(o, i, ky, kx)]; one bias for each output channel, or none at all. *)
Record zkernel := {
  zweights : list Z; zbias : list Z; zoutputs : nat; zgroups : nat; zrows : nat; zcols : nat;
  zstride_y : nat; zstride_x : nat; ztop : nat; zleft : nat
}.

(** What is added up: a tensor, a convolution, the planes of a tensor. *)
Inductive part :=
| PTensor (x : nat)
| PConvolution (x : nat) (k : zkernel) (height width : nat)
| PPlanes (x : nat).

Inductive layer :=
| LBytes (channels height width : nat)
| LSum (over : option Z) (ps : list part) (cs : list Z)
  (* divided by a number; constants by channel *)
| LSilu (x : nat)
| LSigmoid (x : nat)
| LGate (x s : nat).                         (* [s] holds one number for each channel *)

Section Layer.
Variable t : tensor.

Definition inputs_of (k : zkernel) : nat := (channels t / zgroups k)%nat.

Definition weight_at (k : zkernel) (o i a b : nat) : Z :=
  nth (((o * inputs_of k + i) * zrows k + a) * zcols k + b) (zweights k) 0%Z.

(** The real kernel that it stands for. *)
Definition kernel_of (k : zkernel) : kernel := {|
  weights o i a b := real (weight_at k o i a b); bias o := real (nth o (zbias k) 0%Z);
  outputs := zoutputs k; groups := zgroups k; rows := zrows k; cols := zcols k;
  stride_y := zstride_y k; stride_x := zstride_x k; top := ztop k; left := zleft k |}.

Definition ztap (k : zkernel) (o y x i a b : nat) : sparse :=
  let u := (y * zstride_y k + a)%nat in let v := (x * zstride_x k + b)%nat in
  let first_input := (o / (zoutputs k / zgroups k) * inputs_of k)%nat in
  if ((ztop k <=? u) && (u <? ztop k + height t) && (zleft k <=? v) &&
    (v <? zleft k + width t))%nat%bool
  then [(weight_at k o i a b, key (position t (first_input + i) (u - ztop k) (v - zleft k)))]
  else [].

Definition ztaps (k : zkernel) (o y x : nat) : sparse :=
  flat_map (fun i =>
    flat_map (fun a => flat_map (ztap k o y x i a) (seq 0 (zcols k))) (seq 0 (zrows k)))
    (seq 0 (inputs_of k)).

(** Terms and bias of each output. *)
Definition zconvolution (k : zkernel) (out_height out_width : nat) : list (sparse * list Z) :=
  map (fun n => let o := (n / (out_height * out_width))%nat in
         (ztaps k o (n / out_width mod out_height) (n mod out_width), [nth o (zbias k) 0%Z]))
      (seq 0 (zoutputs k * out_height * out_width)).

Lemma entries_flat (f : nat -> sparse) (g : nat -> list (R * nat)) l :
  (forall i, entries (f i) = g i) ->
  entries (flat_map f l) = flat_map g l.
Proof.
  intros H. unfold entries in *. induction l as [|i l IH]; [reflexivity|]. cbn [flat_map].
  now rewrite map_app, H, IH.
Qed.

Definition linear_unit (over : option Z) (u : sparse * list Z) : cunit :=
  CLinear (fst u) (snd u) over.

Theorem convolution_expanded over k out_height out_width :
  map denote (map (linear_unit over) (zconvolution k out_height out_width)) =
  convolution t (kernel_of k) out_height out_width (divisor over) (fun _ => []).
Proof.
  unfold zconvolution, convolution. rewrite !map_map. apply map_ext. intros n.
  cbn [linear_unit denote fst snd map]. unfold output.
  unfold added. cbn [map]. rewrite app_nil_r. do 2 f_equal.
  unfold ztaps, taps. apply entries_flat. intros i. apply entries_flat. intros a.
  apply entries_flat. intros b.
  unfold ztap, tap, inside. cbn [stride_y stride_x top left kernel_of weights].
  destruct (_ && _)%bool; [|reflexivity]. unfold entries. cbn [map fst snd]. now rewrite num_key.
Qed.
End Layer.

(** ** All layers *)

Definition size_of (t : tensor) : nat := (channels t * height t * width t)%nat.
Definition area_of (t : tensor) : nat := (height t * width t)%nat.

(** One unit for each unit [i] of tensor [t], in channel [c]. *)
Definition pointwise (t : tensor) (f : nat -> positive -> cunit) : list cunit :=
  map (fun i => f (i / area_of t)%nat (key (first t + i))) (seq 0 (size_of t)).

Definition like (t : tensor) (first : nat) : tensor :=
  {| first := first; channels := channels t; height := height t; width := width t |}.

Definition nowhere : tensor := {| first := 0; channels := 0; height := 0; width := 0 |}.

(** The tensor of a part whose units begin at [next], and their terms and constants. *)
Definition part_units (ts : list tensor) (next : nat) (p : part) : tensor * list (sparse * list Z)
  :=
  let at_ x := nth x ts nowhere in
  match p with
  | PTensor x => (like (at_ x) next, map (fun i =>
    ([(one, key (first (at_ x) + i))], [])) (seq 0 (size_of (at_ x))))
  | PConvolution x k h w =>
      ({| first := next; channels := zoutputs k; height := h; width := w |},
        zconvolution (at_ x) k h w)
  | PPlanes x =>
      ({| first := next; channels := channels (at_ x); height := 1; width := 1 |},
       map (fun c => (map (fun i => (one, key (first (at_ x) + c * area_of (at_ x) +
         i))) (seq 0 (area_of (at_ x))), []))
         (seq 0 (channels (at_ x))))
  end.

Fixpoint together (a b : list (sparse * list Z)) : list (sparse * list Z) :=
  match a, b with
  | x :: a', y :: b' => (fst x ++ fst y, snd x ++ snd y) :: together a' b'
  | _, _ => []
  end.

Definition sum_units (ts : list tensor) (next : nat) (over : option Z) (ps : list part) (cs : list
  Z) : tensor * list cunit :=
  match ps with
  | [] => (nowhere, [])
  | p :: ps' =>
      let (t, us) := part_units ts next p in
      let all := fold_left together (map (fun p => snd (part_units ts next p)) ps') us in
      let plus i := match cs with [] => [] | _ => [nth (i / area_of t) cs 0%Z] end in
      (t, map (fun iu => linear_unit over (fst (snd iu), snd (snd iu) ++
        plus (fst iu))) (combine (seq 0 (size_of t)) all))
  end.

(** The tensor of a layer whose units begin at [next], and the units. *)
Definition expand_layer (ts : list tensor) (next : nat) (l : layer) : tensor * list cunit :=
  let at_ x := nth x ts nowhere in
  match l with
  | LBytes c h w =>
      ({| first := next; channels := c; height := h; width := w |}, map CPixel (seq 0 (c * h * w)))
  | LSum over ps cs => sum_units ts next over ps cs
  | LSilu x => (like (at_ x) next, pointwise (at_ x) (fun _ j => CSilu j))
  | LSigmoid x => (like (at_ x) next, pointwise (at_ x) (fun _ j => CSigmoid j))
  | LGate x s =>
      (like (at_ x) next, pointwise (at_ x) (fun c j => CGate j (key (first (at_ s) + c))))
  end.

Fixpoint expand_all (ls : list layer) (ts : list tensor) (units : list cunit) :
  list tensor * list cunit :=
  match ls with
  | [] => (ts, units)
  | l :: ls' =>
      let (t, new) := expand_layer ts (length units) l in expand_all ls' (ts ++ [t]) (units ++ new)
  end.

(** The last layer's units are the logits. The image has as many pixels as the byte layer has
    units. *)
Definition expand (ls : list layer) : cnet :=
  let (ts, units) := expand_all ls [] [] in
  let last := last ts nowhere in
  {| cpixels := match ls with LBytes c h w :: _ => c * h * w | _ => 0 end;
     cunits := units;
     clogits := map (fun i => key (first last + i)) (seq 0 (size_of last)) |}.
