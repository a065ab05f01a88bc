(** * A line that stands for a sum of others

    - [mark]: the numbers of a line, as real numbers; [fine]: a good line, with entries for bases
      only;
    - [mixed_ok]: a line made of others is off by no more than [mixed] says.

    Rests on Stored.v, LineKeys.v and Walk.v. Stands behind columns.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63 Sint63.
From Lastbit Require Import Totals checker.Program checker.Numbers fast.Walk
  fast.LineSums fast.Stored.
From Lastbit Require Import fast.LineKeys fast.WalkForms.
Import ListNotations.
Open Scope R_scope.

(** A number on the grid of lines. *)
(** A number over 2^32 is shifted by 68 digits to be one over 2^100. *)
Lemma grain_real z : real (Z.shiftl z (100 - grain)) = IZR z / 2 ^ 32.
Proof.
  unfold real, grain. rewrite Z.shiftl_mul_pow2, mult_IZR by lia.
  change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra). field.
Qed.

Lemma grained f : f_n f = 17%nat -> real (val f) = IZR (signed (f_int f)) / 2 ^ 32.
Proof. intros E. unfold val. rewrite E. exact (grain_real (signed (f_int f))). Qed.

(** Numbers of lines, as real numbers. *)
Definition mark (s : stored) (g : nat) : R := IZR (value s g) / 2 ^ 32.

Notation mass := bulk.
Lemma mass_pos s : (0 <= mass s)%Z.
Proof.
  unfold mass. generalize (Uint63.to_Z_bounded (s_low s)) (Uint63.to_Z_bounded (s_high s)). lia.
Qed.

Lemma size_real s : real (size s) = IZR (mass s) / 2 ^ 32.
Proof. exact (grain_real (mass s)). Qed.

Lemma mark_norm B k s n : good B k s -> over n (fun g => Rabs (mark s g)) <= real (size s).
Proof.
  intros G. rewrite size_real. unfold mass. assert (N := norm_ok B k s n G).
  apply Rle_trans with (/ 2 ^ 32 * over n (fun g => Rabs (IZR (value s g)))); [|lra].
  rewrite <- over_scale. apply over_le. intros g _. unfold mark, Rdiv.
  rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)); lra.
Qed.

Lemma combine_map {A B} (f : A -> B) l : combine l (map f l) = map (fun x => (x, f x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. now rewrite IH. Qed.

(** |a| over 2^200 times the size of a line, as the program rounds it. *)
Lemma weighed a s : IZR (Z.abs a) / 2 ^ 100 / 2 ^ 100 * real (size s) <=
  real (up (up (Z.abs a) * size s)).
Proof.
  apply Rle_trans with (2 := up_product _ _). apply Rmult_le_compat_r.
  - rewrite size_real. assert (P := IZR_le _ _ (mass_pos s)). apply Rmult_le_pos; lra.
  - apply up_real.
Qed.

Lemma double_abs a : Rabs (IZR a / 2 ^ 100 / 2 ^ 100) = IZR (Z.abs a) / 2 ^ 100 / 2 ^ 100.
Proof. unfold Rdiv. now rewrite !Rabs_mult, abs_IZR, (Rabs_pos_eq (/ 2 ^ 100)) by lra. Qed.

Lemma some_pair {A B} (a c : A) (b d : B) : Some (a, b) = Some (c, d) -> a = c /\ b = d.
Proof. intros H. inversion H. now split. Qed.

Section Lines.
Variables (boundary : int) (k : nat) (base : nat -> Prop).

(** Good, with entries for bases only. *)
Definition fine (s : stored) : Prop := good boundary k s /\ keyed base (s_line s).

Lemma gap_times n a s : fine s -> over n (fun g => Rabs (a * mark s g)) <= Rabs a * real (size s).
Proof.
  intros G. apply Rle_trans with (Rabs a * over n (fun g => Rabs (mark s g))).
  - rewrite <- over_scale. right. apply over_ext. intros. apply Rabs_mult.
  - apply Rmult_le_compat_l; [apply Rabs_pos|]. now apply mark_norm with (1 := proj1 G).
Qed.

Lemma count_real s : IZR (Uint63.to_Z (s_count s)) / 2 / 2 ^ 32 <=
  real (Z.shiftl (Uint63.to_Z (s_count s)) (100 - grain)).
Proof.
  rewrite grain_real. assert (P := IZR_le _ _ (proj1 (Uint63.to_Z_bounded (s_count s)))). lra.
Qed.

(** The exact sum of lines times numbers over [2^200]. *)
Definition blend (l : list (Z * stored)) (g : nat) : R :=
  total (map (fun x => IZR (fst x) / 2 ^ 100 / 2 ^ 100 * mark (snd x) g) l).

(** The factor of a line that stands for [2^h] times a sum. *)
Definition part (h : Z) : R := real (Z.shiftl 1 (100 - h)).

Lemma part_is h : (0 <= h <= 99)%Z -> part h * IZR (2 ^ h) = 1.
Proof.
  intros H. unfold part, real. rewrite Z.shiftl_mul_pow2, Z.mul_1_l by lia.
  assert (E : IZR (2 ^ (100 - h)) * IZR (2 ^ h) = 2 ^ 100); [|lra].
  rewrite <- mult_IZR, <- Z.pow_add_r by lia. replace (100 - h + h)%Z with 100%Z by lia. simpl. lra.
Qed.

Lemma mixed_ok h l s off : Forall (fun x => fine (snd x)) l -> mixed boundary h l = Some (s, off) ->
  fine s /\ forall n, over n (fun g => Rabs (blend l g - part h * mark s g)) <= real off.
Proof.
  intros G. unfold mixed. set (e := Z.min 40 _). destruct (_ || _) eqn:E; [discriminate|].
  rewrite !orb_false_iff, !Z.ltb_ge in E. destruct E as [[E1 E2] E3].
  set (n := (200 - e - h)%Z).
  set (f := fun x : Z * stored => (of_Z (Z.shiftr (fst x + Z.shiftl 1 (n - 1)) n), snd x)).
  assert (E40 : (0 <= e <= 40)%Z) by (unfold e in *; lia). assert (Hn : (0 <= n)%Z) by lia.
  destruct (combined boundary (of_Z e) (map f l)) as [s'|] eqn:C; [|discriminate]. intros Q.
  apply some_pair in Q. destruct Q as [<- <-].
  assert (Gf : Forall (fun t => fine (snd t)) (map f l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (y & <- & Hy).
    cbn [f snd]. rewrite Forall_forall in G. now apply G. }
  assert (Gg : Forall (fun t => good boundary k (snd t)) (map f l)).
  { apply Forall_impl with (2 := Gf). intros t T. apply T. }
  split; [split; [now apply combined_good with (2 := C)|]|].
  { apply combined_keyed with (2 := C). apply Forall_impl with (2 := Gf). intros t T. apply T. }
  intros m. assert (V := combined_value _ _ _ _ _ m Gg C).
  assert (Te : Uint63.to_Z (of_Z e) = e).
  { rewrite Uint63.of_Z_spec. apply Z.mod_small. unfold wB, size. simpl. lia. }
  rewrite Te in V. set (P := IZR (2 ^ e)) in *.
  assert (P0 : 0 < P) by (apply IZR_lt, Z.pow_pos_nonneg; lia). assert (K := part_is h ltac:(lia)).
  set (F := part h) in *. assert (H0 : 0 < IZR (2 ^ h)) by (apply IZR_lt, Z.pow_pos_nonneg; lia).
  assert (F0 : 0 < F) by nra. assert (P2 : F / P = IZR (2 ^ n) / 2 ^ 100 / 2 ^ 100).
  { assert (IZR (2 ^ n) * (P * IZR (2 ^ h)) = 2 ^ 100 * 2 ^ 100).
    { unfold P. rewrite <- !mult_IZR, <- !Z.pow_add_r by lia.
      replace (n + (e + h))%Z with 200%Z by lia. simpl. lra. }
    replace F with (/ IZR (2 ^ h))
      by (apply (Rmult_eq_reg_r (IZR (2 ^ h))); [rewrite K; field|]; lra).
    apply (Rmult_eq_reg_r (P * IZR (2 ^ h))); [|nra]. field_simplify; [|lra..]. nra. }
  rewrite combine_map, map_map. cbn [fst snd].
  assert (S : forall g, Rabs (blend l g - F * mark s' g) <=
    total
    (map (fun x =>
      Rabs ((IZR (fst x) / 2 ^ 100 / 2 ^ 100 - IZR (signed (fst (f x))) * (F / P)) * mark
        (snd x) g)) l) +
    F * / 2 ^ 32 * Rabs (IZR (value s' g) - IZR (combination (map f l) g) / P)).
  { intros g. set (y := IZR (combination (map f l) g) / P).
    assert (Y :
      F * (y / 2 ^ 32) =
      total (map (fun x => IZR (signed (fst (f x))) * (F / P) * mark (snd x) g) l)).
    { unfold y, combination. rewrite zsum_number, map_map, map_map.
      transitivity (F / P / 2 ^ 32 * total
        (map (fun x => IZR (signed (fst (f x)) * value (snd (f x)) g)) l)); [field; lra|].
      rewrite <- total_map_scale. apply total_map_ext. intros x _. rewrite mult_IZR. unfold mark.
      change (snd (f x)) with (snd x). field. lra. }
    replace (blend l g - F * mark s' g)
      with ((blend l g - F * (y / 2 ^ 32)) + - (F * / 2 ^ 32 * (IZR (value s' g) - y)))
      by (unfold mark; field).
    apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_Ropp, (Rabs_mult (F * _)), (Rabs_pos_eq (F * / 2 ^ 32)) by lra.
    apply Rplus_le_compat_r. rewrite Y. unfold blend. rewrite total_diff.
    apply Rle_trans with (1 := total_abs _ _). right. apply total_map_ext. intros x _. f_equal.
    ring. }
  apply Rle_trans with (1 := over_le _ _ _ (fun g _ => S g)).
  rewrite over_plus, over_scale, over_total, real_plus. apply Rplus_le_compat.
  2:
    { apply Rle_trans with (2 := up_product _ _). fold (part h). fold F.
    assert (Cr := count_real s'). apply (Rmult_le_compat_l F) in Cr; [|lra].
    apply (Rmult_le_compat_l (F * / 2 ^ 32)) in V; lra. }
  rewrite zsum_real, map_map. apply total_map_le. intros x Hx. rewrite Forall_forall in G.
  apply Rle_trans with (1 := gap_times m _ _ (G x Hx)). apply Rle_trans with (2 := weighed _ _).
  apply Rmult_le_compat_r.
  { rewrite size_real. assert (N := IZR_le _ _ (mass_pos (snd x))). apply Rmult_le_pos; lra. }
  right. rewrite <- double_abs, minus_IZR, Z.shiftl_mul_pow2, mult_IZR, P2 by lia.
  change (Sint63.to_Z (fst (f x))) with (signed (fst (f x))). f_equal. field.
Qed.
End Lines.
