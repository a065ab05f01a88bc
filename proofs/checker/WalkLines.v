(** * The lines of the fast checker stand for what they are made of

    - [mixed_ok]: a line made of others is off by no more than [mixed] says;
    - [columns_ok]: so are the columns of a unit.

    Rests on LineSums.v and Walk.v. Stands behind columns.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63 Sint63.
From Lastbit Require Import Statement Totals checker.Program checker.Numbers checker.Walk checker.LineSums.
Import ListNotations.
Open Scope R_scope.

Notation over := Totals.over.
Notation grid := Walk.over.

Lemma real_grid b i : (0 <= b <= 100)%Z -> real (grid b i) = IZR (signed i) / IZR (2 ^ b).
Proof.
  intros H. unfold grid, real, signed. rewrite Z.shiftl_mul_pow2, mult_IZR by lia.
  assert (E : (2 ^ 100 = 2 ^ b * 2 ^ (100 - b))%Z) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (P : IZR (2 ^ b) <> 0) by (apply not_0_IZR; lia). assert (Q : IZR (2 ^ (100 - b)) <> 0) by (apply not_0_IZR; lia).
  replace (2 ^ 100)%R with (IZR (2 ^ 100)) by (simpl; lra). rewrite E, mult_IZR. field. now split.
Qed.

(** Numbers of lines, as real numbers. *)
Definition mark (s : stored) (g : nat) : R := IZR (value s g) / 2 ^ 32.

Definition mass (s : stored) : Z := (Uint63.to_Z (s_low s) + Uint63.to_Z (s_high s))%Z.
Lemma mass_pos s : (0 <= mass s)%Z.
Proof. unfold mass. generalize (Uint63.to_Z_bounded (s_low s)) (Uint63.to_Z_bounded (s_high s)). lia. Qed.

Lemma size_real s : real (size s) = IZR (mass s) / 2 ^ 32.
Proof.
  unfold size, real, grain. fold (mass s). rewrite Z.shiftl_mul_pow2, mult_IZR by lia. change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra). field.
Qed.

Lemma mark_norm B k s n : good B k s -> over n (fun g => Rabs (mark s g)) <= real (size s).
Proof.
  intros G. rewrite size_real. unfold mass. assert (N := norm_ok B k s n G).
  apply Rle_trans with (/ 2 ^ 32 * over n (fun g => Rabs (IZR (value s g)))); [|lra].
  rewrite <- over_scale. apply over_le. intros g _. unfold mark, Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)); lra.
Qed.

Lemma total_abs {A} (f : A -> R) l : Rabs (total (map f l)) <= total (map (fun x => Rabs (f x)) l).
Proof.
  induction l as [|x l IH]; [unfold total; simpl; rewrite Rabs_R0; lra|]. cbn [map total fold_right].
  apply Rle_trans with (1 := Rabs_triang _ _). unfold total in IH. lra.
Qed.

Lemma total_minus {A} (f g : A -> R) l : total (map f l) - total (map g l) = total (map (fun x => f x - g x) l).
Proof. induction l as [|x l IH]; [unfold total; simpl; lra|]. cbn [map total fold_right] in *. unfold total in IH. lra. Qed.

Lemma over_total {A} n (f : A -> nat -> R) l :
  over n (fun g => total (map (fun x => f x g) l)) = total (map (fun x => over n (f x)) l).
Proof.
  induction l as [|x l IH]; cbn [map].
  - unfold total. cbn [fold_right]. rewrite (over_ext n _ (fun _ => 0 * 1)) by (intros; ring). rewrite over_scale. ring.
  - change (total (?a :: ?b)) with (a + total b). rewrite <- IH, <- over_plus. reflexivity.
Qed.

Lemma combine_map {A B} (f : A -> B) l : combine l (map f l) = map (fun x => (x, f x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. now rewrite IH. Qed.

(** |a| over 2^200 times the size of a line, as the program rounds it. *)
Lemma weighed a s : IZR (Z.abs a) / 2 ^ 100 / 2 ^ 100 * real (size s) <= real (up (up (Z.abs a) * size s)).
Proof.
  apply Rle_trans with (2 := up_product _ _). apply Rmult_le_compat_r.
  - rewrite size_real. assert (P := IZR_le _ _ (mass_pos s)). apply Rmult_le_pos; lra.
  - apply up_real.
Qed.

Lemma some_pair {A B} (a c : A) (b d : B) : Some (a, b) = Some (c, d) -> a = c /\ b = d.
Proof. intros H. inversion H. now split. Qed.

Section Lines.
Variables (boundary : int) (k : nat).
Notation fine := (good boundary k).

Lemma gap_times n a s : fine s -> over n (fun g => Rabs (a * mark s g)) <= Rabs a * real (size s).
Proof.
  intros G. apply Rle_trans with (Rabs a * over n (fun g => Rabs (mark s g))).
  - rewrite <- over_scale. right. apply over_ext. intros. apply Rabs_mult.
  - apply Rmult_le_compat_l; [apply Rabs_pos|]. now apply mark_norm with (1 := G).
Qed.

Lemma count_real s : IZR (Uint63.to_Z (s_count s)) / 2 / 2 ^ 32 <= real (Z.shiftl (Uint63.to_Z (s_count s)) (100 - grain)).
Proof.
  unfold real, grain. rewrite Z.shiftl_mul_pow2, mult_IZR by lia. change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra).
  assert (P := IZR_le _ _ (proj1 (Uint63.to_Z_bounded (s_count s)))). lra.
Qed.

Definition blend (l : list (Z * stored)) (g : nat) : R :=
  total (map (fun x => IZR (fst x) / 2 ^ 100 / 2 ^ 100 * mark (snd x) g) l).

Lemma mixed_ok l s off : Forall (fun x => fine (snd x)) l -> mixed boundary l = Some (s, off) ->
  fine s /\ forall n, over n (fun g => Rabs (blend l g - mark s g)) <= real off.
Proof.
  intros G. unfold mixed. set (e := Z.min 40 (digits l)). destruct (Z.ltb_spec e 0) as [|E]; [discriminate|].
  set (f := fun x : Z * stored => (of_Z (Z.shiftr (fst x + Z.shiftl 1 (199 - e)) (200 - e)), snd x)).
  assert (E40 : (0 <= e <= 40)%Z) by (unfold e; lia).
  destruct (combined boundary (of_Z e) (map f l)) as [s'|] eqn:C; [|discriminate]. intros Q. apply some_pair in Q. destruct Q as [<- <-].
  assert (Gf : Forall (fun t => fine (snd t)) (map f l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (y & <- & Hy). cbn [f snd].
    rewrite Forall_forall in G. now apply G. }
  split; [now apply combined_good with (2 := C)|]. intros n. assert (V := combined_value _ _ _ _ _ n Gf C).
  assert (Te : Uint63.to_Z (of_Z e) = e).
  { rewrite Uint63.of_Z_spec. apply Z.mod_small. unfold wB, size. simpl. lia. }
  rewrite Te in V. set (P := (2 ^ Z.to_nat e)%R) in *. assert (P0 : 0 < P) by (apply pow_lt; lra).
  assert (P2 : IZR (2 ^ (200 - e)) * P = 2 ^ 100 * 2 ^ 100).
  { unfold P. rewrite pow_IZR, <- mult_IZR. rewrite Z2Nat.id, <- Z.pow_add_r by lia. replace (200 - e + e)%Z with 200%Z by lia.
    simpl. lra. }
  rewrite combine_map, map_map. cbn [fst snd].
  assert (S : forall g, Rabs (blend l g - mark s' g) <=
    total (map (fun x => Rabs ((IZR (fst x) / 2 ^ 100 / 2 ^ 100 - IZR (signed (fst (f x))) / P) * mark (snd x) g)) l) +
    / 2 ^ 32 * Rabs (IZR (value s' g) - IZR (combination (map f l) g) / P)).
  { intros g. set (y := IZR (combination (map f l) g) / P).
    assert (Y : y / 2 ^ 32 = total (map (fun x => IZR (signed (fst (f x))) / P * mark (snd x) g) l)).
    { unfold y, combination. rewrite zsum_number, map_map, map_map. unfold Rdiv at 1 2. rewrite <- !(Rmult_comm (/ _)), <- !total_scale.
      apply total_map_ext. intros x _. rewrite mult_IZR. unfold mark. change (snd (f x)) with (snd x). field. lra. }
    replace (blend l g - mark s' g) with ((blend l g - y / 2 ^ 32) + - (/ 2 ^ 32 * (IZR (value s' g) - y))) by (unfold mark; field).
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp, Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)) by lra. apply Rplus_le_compat_r.
    rewrite Y. unfold blend. rewrite total_minus. apply Rle_trans with (1 := total_abs _ _). right. apply total_map_ext.
    intros x _. f_equal. ring. }
  apply Rle_trans with (1 := over_le _ _ _ (fun g _ => S g)). rewrite over_plus, over_scale, over_total, real_plus.
  apply Rplus_le_compat; [|generalize (count_real s'); lra].
  rewrite zsum_real, map_map. apply total_map_le. intros x Hx. rewrite Forall_forall in G.
  apply Rle_trans with (1 := gap_times n _ _ (G x Hx)). apply Rle_trans with (2 := weighed _ _).
  apply Rmult_le_compat_r.
  { rewrite size_real. assert (N := IZR_le _ _ (mass_pos (snd x))). apply Rmult_le_pos; lra. }
  right. rewrite abs_IZR, minus_IZR, Z.shiftl_mul_pow2, mult_IZR by lia. change (Sint63.to_Z (fst (f x))) with (signed (fst (f x))).
  replace (IZR (fst x) / 2 ^ 100 / 2 ^ 100 - IZR (signed (fst (f x))) / P) with
    ((IZR (fst x) - IZR (signed (fst (f x))) * IZR (2 ^ (200 - e))) * (/ (2 ^ 100 * 2 ^ 100))).
  - rewrite Rabs_mult, (Rabs_pos_eq (/ (2 ^ 100 * 2 ^ 100))); [field|]. apply Rlt_le, Rinv_0_lt_compat. lra.
  - rewrite Rmult_minus_distr_r. f_equal; [field|]. assert (IZR (2 ^ (200 - e)) <> 0) by (apply not_0_IZR; lia).
    rewrite <- P2. field. split; [lra|assumption].
Qed.
End Lines.
